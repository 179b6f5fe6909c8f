/* Log lines as they come out on stderr, quoting, the brake. */
#include "tests/util.h"

#include "base/log.h"

#include <sys/mman.h>

/* What fn writes to stderr, in text. */
static void captured(void (*fn)(void), char *text, size_t cap)
{
    int file = memfd_create("stderr", MFD_CLOEXEC), saved = dup(STDERR_FILENO);
    assert_true(file >= 0 && saved >= 0);
    (void)fflush(stderr);
    assert_true(dup2(file, STDERR_FILENO) >= 0);
    fn();
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    ssize_t n = pread(file, text, cap - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    (void)close(file);
    (void)close(saved);
}

static void write_warning(void) { log_warn("pull.gap", "have=%d got=%d", 1041, 1043); }
static void write_no_pairs(void) { log_error("start", "%s", ""); }
static void write_debug(void) { log_debug("x", "a=%d", 1); }
static void write_newline(void) { log_error("x", "a=%s", "1\n2\r3"); }
static void write_long(void) { log_error("x", "a=%5000d", 1); }
static void write_json(void) { log_error("x", "a=\"%s\"", "q\\\001\303\244"); }

/* The line behind its time "2026-11-20T18:00:00.123Z ". */
static const char *behind_time(const char *line)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ ";
    for (size_t i = 0; form[i] != '\0'; i++)
        if (form[i] == 'd' ? line[i] < '0' || line[i] > '9' : line[i] != form[i])
            fail_msg("no time: %s", line);
    return line + strlen(form);
}

static void lines(void **state)
{
    char text[8192];
    (void)state;
    log_setup(LOG_INFO, false);
    captured(write_warning, text, sizeof text);
    assert_string_equal(behind_time(text), "WARN pull.gap have=1041 got=1043\n");
    captured(write_no_pairs, text, sizeof text);
    assert_string_equal(behind_time(text), "ERROR start\n");
    captured(write_newline, text, sizeof text);
    assert_string_equal(behind_time(text), "ERROR x a=1 2 3\n");
    captured(write_debug, text, sizeof text);
    assert_string_equal(text, "");
    log_setup(LOG_DEBUG, false);
    captured(write_debug, text, sizeof text);
    assert_string_equal(behind_time(text), "DEBUG x a=1\n");
    captured(write_long, text, sizeof text);
    assert_true(strlen(text) > 2000);
    assert_int_equal(text[strlen(text) - 1], '\n');
    assert_null(strchr(text, '\n')[1] == '\0' ? NULL : text);
}

static void json_lines(void **state)
{
    char text[8192];
    (void)state;
    log_setup(LOG_INFO, true);
    captured(write_json, text, sizeof text);
    log_setup(LOG_INFO, false);
    assert_memory_equal(text, "{\"time\":\"", 9);
    assert_non_null(strstr(text, "Z\",\"level\":\"ERROR\",\"event\":\"x\",\"text\":\"a=\\\"q\\\\\\u0001\\u00c3\\u00a4\\\"\"}\n"));
}

static void levels(void **state)
{
    enum log_level level;
    (void)state;
    assert_true(log_level_parse("debug", &level) && level == LOG_DEBUG);
    assert_true(log_level_parse("error", &level) && level == LOG_ERROR);
    assert_false(log_level_parse("Info", &level));
    assert_false(log_level_parse("", &level));
}

static void quoting(void **state)
{
    static const struct { const char *in, *out; } rows[] = {
        { "", "\"\"" }, { "a b", "\"a b\"" }, { "a\"b\\c", "\"a\\\"b\\\\c\"" }, { "\n\177\377", "\"\\x0a\\x7f\\xff\"" },
    };
    char out[60];
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++)
        assert_string_equal(log_quote(out, sizeof out, rows[i].in), rows[i].out);
    for (size_t cap = 0; cap < 40; cap++) {         /* cut, but always inside cap and closed */
        char *small = malloc(cap + 1);
        const char *got = log_quote(small, cap, "\001\002\003\004\"\"\"\"abcdefghijklmnopqrstuvwxyz");
        if (cap < 8)
            assert_string_equal(got, "");
        else
            assert_true(strlen(got) < cap && got[0] == '"' && got[strlen(got) - 1] == '"');
        free(small);
    }
}

static void brake(void **state)
{
    struct log_brake b = { 0 };
    unsigned dropped, passed = 0;
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        passed += log_brake_pass(&b, 1000 + i, 5, &dropped);
    assert_int_equal(passed, 5);
    assert_false(log_brake_pass(&b, 10999, 5, &dropped));
    assert_true(log_brake_pass(&b, 11000, 5, &dropped));
    assert_int_equal(dropped, 96);
    assert_true(log_brake_pass(&b, 11001, 5, &dropped));
    assert_int_equal(dropped, 0);
    assert_true(log_brake_pass(&b, 40000, 5, &dropped));
    assert_int_equal(dropped, 0);
    b = (struct log_brake){ 0 };
    assert_true(log_brake_pass_in(&b, 1000, LOG_SLOW_MS, 1, &dropped));
    assert_false(log_brake_pass_in(&b, 1000 + LOG_SLOW_MS - 1, LOG_SLOW_MS, 1, &dropped));
    assert_true(log_brake_pass_in(&b, 1000 + LOG_SLOW_MS, LOG_SLOW_MS, 1, &dropped));
    assert_int_equal(dropped, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines), cmocka_unit_test(json_lines), cmocka_unit_test(levels), cmocka_unit_test(quoting), cmocka_unit_test(brake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
