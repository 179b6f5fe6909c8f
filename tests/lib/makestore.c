/* makestore DIR: a store with one entry of the namespace "flags"; a line on stdin changes it, the end of stdin ends. */
#include "store/kvvalue.h"
#include "tests/util_store.h"

static void set(struct tmp_store *t, const char *key, const char *value)
{
    uint8_t buf[256];
    struct wr w = wr_over(buf, sizeof buf);
    kvvalue_write(&w, &(struct kvvalue){ seq_now(t->s) + 1, bytes_of_text(value) });
    struct op op = { OP_PUT, bytes_of_text("flags"), bytes_of_text(key), wr_done(&w) };
    enum err err = store_run(t->s, &op, 1, &t->fault);
    if (err == OK && puts("ready") >= 0 && fflush(stdout) == 0)
        return;
    (void)fprintf(stderr, "makestore: %s\n", fault_text(&t->fault, err));
    exit(1);
}

int main(int argc, char **argv)
{
    char line[16];
    if (argc != 2)
        return 2;
    struct tmp_store t = {
        .options = { .dir = argv[1], .mode = STORE_CREATE, .role = STORE_EDGE, .volatile_data = true }
    };
    enum err err = store_open(&t.s, &t.options, &t.fault);
    if (err != OK) {
        (void)fprintf(stderr, "makestore: %s\n", fault_text(&t.fault, err));
        return 1;
    }
    set(&t, "alpha", "not shown");
    set(&t, "beta.colour", "red");
    while (fgets(line, sizeof line, stdin) != NULL)
        set(&t, "beta.colour", "blue");
    store_close(t.s);
    return 0;
}
