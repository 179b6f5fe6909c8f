#include "tools/options.h"

#include "base/text.h"

const struct option_spec options_global[] = {
    OPTION("dir", "DIR", OPTION_TEXT, dir, "directory of the store"),
    OPTION("json", NULL, OPTION_FLAG, json, "print JSON"),
    OPTION("api", "URL", OPTION_TEXT, api, "where the core's API listens, http://HOST:PORT or https:// (default: $AZOTH_API)"),
    OPTION("key-file", "FILE", OPTION_TEXT, key_file, "file with the API key (default: $AZOTH_API_KEY, $AZOTH_API_KEY_FILE)"),
    OPTION("ca-file", "FILE", OPTION_TEXT, ca_file, "certificates that https:// is checked against (default: the system's)"),
    OPTION("help", NULL, OPTION_FLAG, help, "show what the command takes"),
    OPTION("version", NULL, OPTION_FLAG, version, "show the version"),
    OPTION_END,
};

static const struct option_spec *look_up(const struct option_spec *specs, const char *name, size_t len)
{
    for (; specs != NULL && specs->name != NULL; specs++)
        if (strlen(specs->name) == len && memcmp(specs->name, name, len) == 0)
            return specs;
    return NULL;
}

static enum err store_value(const struct option_spec *spec, const char *value, struct options *out, struct fault *fault)
{
    void *member = (char *)out + spec->offset;
    struct option_list *list = member;
    enum err err = OK;
    switch (spec->kind) {
    case OPTION_FLAG: *(bool *)member = true; break;
    case OPTION_TEXT:
    case OPTION_MAYBE: *(const char **)member = value; break;
    case OPTION_LIST:
        if (list->n == OPTION_LIST_MAX)
            return fault_set(fault, ERR_BAD, "--%s: at most %d of them", spec->name, OPTION_LIST_MAX);
        list->v[list->n++] = value;
        break;
    case OPTION_NUMBER: err = text_number(value, UINT64_MAX, member); break;
    case OPTION_SIZE: err = text_size(value, member); break;
    }
    if (err != OK)
        return fault_set(fault, ERR_BAD, "--%s: '%s' is not a %s", spec->name, value,
                         spec->kind == OPTION_SIZE ? "size (examples: 4096, 512M, 64G)" : "number");
    if ((spec->kind == OPTION_TEXT || spec->kind == OPTION_MAYBE || spec->kind == OPTION_LIST) && value[0] == '\0')
        return fault_set(fault, ERR_BAD, "--%s needs a value that is not empty", spec->name);
    return OK;
}

/* The option argv[*at]; *at ends at its last word. */
static enum err one_option(int argc, char **argv, int *at, const struct option_spec *own, struct options *out,
                           struct fault *fault)
{
    const char *word = argv[*at];
    const char *name = strcmp(word, "-h") == 0 ? "help" : word + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct option_spec *spec = word[1] != '-' && strcmp(word, "-h") != 0 ? NULL : look_up(own, name, len);
    if (spec == NULL && (word[1] == '-' || strcmp(word, "-h") == 0))
        spec = look_up(options_global, name, len);
    if (spec == NULL)
        return fault_set(fault, ERR_BAD, "unknown option %.*s", equals != NULL ? (int)(equals - word) : 200, word);
    if (spec->kind == OPTION_FLAG)
        return equals == NULL ? store_value(spec, NULL, out, fault)
                              : fault_set(fault, ERR_BAD, "--%s takes no value", spec->name);
    if (equals != NULL || spec->kind == OPTION_MAYBE)
        return store_value(spec, equals != NULL ? equals + 1 : spec->value, out, fault);
    if (*at + 1 >= argc)
        return fault_set(fault, ERR_BAD, "--%s needs a value: --%s %s", spec->name, spec->name, spec->value);
    *at += 1;
    return store_value(spec, argv[*at], out, fault);
}

MUST_USE enum err options_read(int argc, char **argv, int *at, const struct option_spec *own, bool stop_at_word,
                               struct options *out, struct fault *fault)
{
    int words = *at;
    bool ended = false;
    out->args = (const char *const *)&argv[*at];
    out->args_n = 0;
    for (int i = *at; i < argc; i++) {
        enum err err;
        if (!ended && strcmp(argv[i], "--") == 0 && !stop_at_word) {
            ended = true;
            continue;
        }
        if (ended || argv[i][0] != '-' || argv[i][1] == '\0') {
            if (stop_at_word) {
                *at = i;
                return OK;
            }
            argv[words++] = argv[i];
            out->args_n++;
            continue;
        }
        if ((err = one_option(argc, argv, &i, own, out, fault)) != OK)
            return err;
    }
    *at = argc;
    return OK;
}

bool option_given(const struct option_spec *spec, const struct options *o)
{
    const void *member = (const char *)o + spec->offset;
    switch (spec->kind) {
    case OPTION_FLAG: return *(const bool *)member;
    case OPTION_TEXT:
    case OPTION_MAYBE: return *(const char *const *)member != NULL;
    case OPTION_LIST: return ((const struct option_list *)member)->n > 0;
    case OPTION_NUMBER:
    case OPTION_SIZE: break;
    }
    return *(const uint64_t *)member != 0;
}

void options_print(FILE *to, const struct option_spec *specs)
{
    for (; specs != NULL && specs->name != NULL; specs++) {
        char left[64];
        if (specs->kind == OPTION_MAYBE)
            (void)snprintf(left, sizeof left, "--%s[=%s]", specs->name, specs->value);
        else
            (void)snprintf(left, sizeof left, "--%s%s%s", specs->name, specs->value != NULL ? " " : "",
                           specs->value != NULL ? specs->value : "");
        (void)fprintf(to, "  %-22s %s\n", left, specs->help);
    }
}
