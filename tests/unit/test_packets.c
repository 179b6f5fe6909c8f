/* The tables of tests/golden/packets: packets of all kinds, and what comes back. Their form is told in 1-message.txt.
 * AZOTH_GOLDEN_UPDATE=1 writes what came back into the files: look at the difference before you keep it. */
#include "tests/answer_bed.h"
#include "tests/packet.h"

#include <dirent.h>

#define LETS_MAX 32
#define LINE_MAX_LEN 4096

struct lets { unsigned n; struct { char word[16], text[256]; } let[LETS_MAX]; };

/* --- queries as text -------------------------------------------------------------------------------------------- */
static unsigned hex_byte(const char *p) { return (unsigned)strtoul((char[3]){ p[0], p[1], '\0' }, NULL, 16); }

static void encode(struct wr *w, const struct lets *lets, const char *text);

/* One word: a let, @name, N*HH or hex. */
static void encode_word(struct wr *w, const struct lets *lets, const char *word)
{
    const char *star = strchr(word, '*');
    struct name name;
    for (unsigned i = 0; i < lets->n; i++)
        if (strcmp(word, lets->let[i].word) == 0) {
            encode(w, lets, lets->let[i].text);
            return;
        }
    if (word[0] == '@') {
        bed_name(word + 1, &name);
        wr_bytes(w, name_bytes(&name));
    } else if (star != NULL) {
        for (long n = strtol(word, NULL, 10); n > 0; n--)
            wr_u8(w, (uint8_t)hex_byte(star + 1));
    } else {
        assert_int_equal(strlen(word) % 2, 0);
        assert_int_equal(strspn(word, "0123456789abcdef"), strlen(word));
        for (; *word != '\0'; word += 2)
            wr_u8(w, (uint8_t)hex_byte(word));
    }
}

static void encode(struct wr *w, const struct lets *lets, const char *text)
{
    size_t open[8], depth = 0;
    while (*(text += strspn(text, " ")) != '\0') {
        char word[512];
        size_t len = *text == '{' || *text == '}' ? 1 : strcspn(text, " {}");
        (void)snprintf(word, sizeof word, "%.*s", (int)len, text);
        text += len;
        if (word[0] == '{') {
            open[depth++] = w->len;
            wr_u16(w, 0);
        } else if (word[0] == '}') {
            depth--;
            wr_patch_u16(w, open[depth], (uint16_t)(w->len - open[depth] - 2));
        } else {
            encode_word(w, lets, word);
        }
    }
    assert_int_equal(depth, 0);
}

/* --- replies as text -------------------------------------------------------------------------------------------- */
static void say_options(char **at, struct bytes options)
{
    static const char *const names[] = { [3] = "nsid", [10] = "cookie", [11] = "keepalive", [12] = "padding", [15] = "ede",
                                         [19] = "zoneversion" };
    struct rd r = rd_over(options);
    while (rd_left(&r) > 0) {
        uint16_t code = rd_u16(&r);
        struct bytes value = rd_take(&r, rd_u16(&r));
        assert_false(r.bad);
        assert_true(code < ROWS(names) && names[code] != NULL);
        unsigned shown = (unsigned)value.len;
        if (code == EDNS_OPTION_EDE)
            shown = (unsigned)value.ptr[0] << 8 | value.ptr[1];
        *at += sprintf(*at, " %s:%u", names[code], shown);
    }
}

static void say_opt(char **at, const struct packet *p)
{
    *at += sprintf(*at, " opt");
    if (p->edns_version != 0)
        *at += sprintf(*at, " v%u", p->edns_version);
    *at += sprintf(*at, "%s%s", (p->edns_flags & EDNS_DO) != 0 ? " do" : "", (p->edns_flags & 0x7fff) != 0 ? " z" : "");
    say_options(at, p->options);
}

static void say(char *at, struct bytes query, struct bytes reply)
{
    static const char *const rcodes[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "7", "8",
                                          "NOTAUTH", "10", "11", "12", "13", "14", "15", "BADVERS", "17", "18", "19", "20", "21",
                                          "22", "BADCOOKIE" };
    static const struct { uint16_t bit; const char *name; } flags[] = { { DNS_AA, "aa" }, { DNS_TC, "tc" }, { DNS_RD, "rd" },
        { DNS_RA, "ra" }, { 0x0040, "z" }, { DNS_AD, "ad" }, { DNS_CD, "cd" } };
    struct packet p;
    if (reply.len == 0) {
        (void)sprintf(at, "nothing");
        return;
    }
    const char *wrong = packet_walk(query, reply, &p);
    if (wrong != NULL) {
        (void)sprintf(at, "%s", wrong);
        return;
    }
    at += sprintf(at, "%s", rcodes[p.rcode]);
    for (size_t i = 0; i < ROWS(flags); i++)
        if ((p.flags & flags[i].bit) != 0)
            at += sprintf(at, " %s", flags[i].name);
    at += sprintf(at, " q=%u an=%u ns=%u ar=%u", p.qd, p.an, p.ns, p.ar);
    if (p.has_opt)
        say_opt(&at, &p);
    if (p.has_tsig)
        (void)sprintf(at, " tsig mac=%u error=%u", p.tsig_mac, p.tsig_error);
}

/* --- files ------------------------------------------------------------------------------------------------------ */
static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);
    if (f == NULL || fread(text, 1, (1 << 20) - 1, f) == 0) {
        perror(path);
        abort();
    }
    (void)fclose(f);
    return text;
}

struct run { struct bed *bed; struct lets lets; const char *path; char why[256], udp[256], tcp[256]; unsigned rows; FILE *out; };

static void play(struct run *run, const char *line)
{
    uint8_t buf[2048];
    struct wr w = wr_over(buf, sizeof buf);
    encode(&w, &run->lets, line);
    struct bytes query = heap_copy(buf, w.len);
    for (int tcp = 0; tcp < 2; tcp++) {
        struct bytes reply = bed_send(run->bed, query, tcp != 0, 0);
        say(tcp ? run->tcp : run->udp, query, reply);
        bytes_free(reply);
    }
    bytes_free(query);
    run->rows++;
}

static void add_let(struct lets *l, const char *line)
{
    size_t len = strcspn(line, " ");
    assert_true(l->n < LETS_MAX && len < sizeof l->let[0].word);
    (void)snprintf(l->let[l->n].word, sizeof l->let[0].word, "%.*s", (int)len, line);
    (void)snprintf(l->let[l->n++].text, sizeof l->let[0].text, "%s", line + len);
}

static void check(struct run *run, const char *what, const char *want, const char *got)
{
    if (run->out == NULL && strcmp(want, got) != 0)
        fail_msg("%s: %s%s\nwant %s\ngot  %s", run->path, run->why, what, want, got);
}

static void run_line(struct run *run, const char *line)
{
    bool answer = strncmp(line, "= ", 2) == 0, over_tcp = strncmp(line, "tcp = ", 6) == 0;
    if (run->out != NULL && !over_tcp)
        fprintf(run->out, "%s%s\n", answer ? "= " : line, answer ? run->udp : "");
    if (run->out != NULL && answer && strcmp(run->udp, run->tcp) != 0)
        fprintf(run->out, "tcp = %s\n", run->tcp);
    if (answer) {
        check(run, "", line + 2, run->udp);
    } else if (over_tcp) {
        check(run, " (TCP)", line + 6, run->tcp);
        (void)snprintf(run->udp, sizeof run->udp, "%s", run->tcp);      /* seen */
    } else if (strncmp(line, "let ", 4) == 0) {
        add_let(&run->lets, line + 4 + strspn(line + 4, " "));
    } else if (line[0] == '?') {
        check(run, " (TCP, before this row)", run->udp, run->tcp);      /* of the row before: no answer line of its own */
        (void)snprintf(run->why, sizeof run->why, "%s", line + 2);
    } else if (line[0] != '\0' && line[0] != '#' && strncmp(line, "but ", 4) != 0) {
        play(run, line);
    }
}

static void run_file(struct run *run, const char *path)
{
    char *text = read_file(path);
    run->path = path;
    run->out = getenv("AZOTH_GOLDEN_UPDATE") != NULL ? fopen(path, "wb") : NULL;
    run->udp[0] = run->tcp[0] = '\0';
    for (char *line = text, *end; *line != '\0'; line = end) {
        end = line + strcspn(line, "\n");
        if (*end != '\0')
            *end++ = '\0';
        run_line(run, line);
    }
    check(run, " (TCP)", run->udp, run->tcp);
    if (run->out != NULL && fclose(run->out) != 0)
        abort();
    free(text);
}

static void tables(void **state)
{
    static const uint8_t client[4] = { 192, 0, 2, 99 };
    char dir[512], path[1024];
    const char *root = getenv("srcdir");
    struct dirent **list;
    struct bed bed;
    struct run run = { .bed = &bed };
    (void)state;
    (void)snprintf(dir, sizeof dir, "%s/tests/golden/packets", root != NULL ? root : ".");
    (void)snprintf(path, sizeof path, "%s/example.zone", dir);
    bed_open(&bed, "site-1", "azoth test");
    bed.cookies.n = 1;
    bed.from = (struct answer_from){ .client = bytes_of(client, sizeof client), .now_s = 1700000000, .idle_100ms = 100 };
    char *zone = read_file(path);
    bed_load(&bed, "example.", zone);
    free(zone);
    int n = scandir(dir, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        size_t len = strlen(list[i]->d_name);
        (void)snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name);
        if (len > 4 && strcmp(list[i]->d_name + len - 4, ".txt") == 0)
            run_file(&run, path);
        free(list[i]);
    }
    free(list);
    assert_true(run.rows >= 240);
    assert_int_equal(stat_get(&bed.counts.broken), 0);
    bed_close(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(tables) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
