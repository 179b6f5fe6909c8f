#include "builder/api_keys.h"

#include "base/file.h"

#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FILE_MAX ((size_t)1 << 20)
#define HASH_LEN 32

struct known { uint8_t hash[HASH_LEN]; struct api_key key; };
struct api_keys {
    uint8_t secret[crypto_generichash_KEYBYTES];
    struct known *known;
    size_t n;
};

static void hash_of(const struct api_keys *k, struct bytes key, uint8_t out[HASH_LEN])
{
    (void)crypto_generichash(out, HASH_LEN, key.ptr, key.len, k->secret, sizeof k->secret);
}

/* The next word of the line; empty at its end. */
static struct bytes next_word(struct bytes *line)
{
    const uint8_t *p = line->ptr, *end = line->ptr + line->len;
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
        p++;
    const uint8_t *from = p;
    while (p < end && *p != ' ' && *p != '\t' && *p != '\r')
        p++;
    *line = bytes_of(p, (size_t)(end - p));
    return bytes_of(from, (size_t)(p - from));
}

static bool printable(struct bytes word)
{
    for (size_t i = 0; i < word.len; i++)
        if (word.ptr[i] < 0x21 || word.ptr[i] > 0x7e)
            return false;
    return true;
}

/* What is wrong with the line, or NULL. */
static const char *take_line(struct api_keys *k, struct bytes line)
{
    struct bytes key = next_word(&line), name = next_word(&line);
    if (key.len == 0 || key.ptr[0] == '#')
        return NULL;
    struct known *new = &k->known[k->n];
    *new = (struct known){ .key = { .read_only = bytes_equal(name, bytes_of_text("ro")) } };
    if (new->key.read_only)
        name = next_word(&line);
    if (next_word(&line).len > 0)
        return "more than KEY [ro] [NAME]";
    if (key.len < API_KEY_LEAST || key.len > API_KEY_MOST)
        return "a key has 8 to 256 characters";
    if (!printable(key) || !printable(name))
        return "only printable ASCII is allowed";
    if (name.len > API_KEY_NAME_MAX)
        return "a name has at most 64 characters";
    if (name.len > 0)
        memcpy(new->key.name, name.ptr, name.len);
    hash_of(k, key, new->hash);
    for (size_t i = 0; i < k->n; i++)
        if (sodium_memcmp(k->known[i].hash, new->hash, HASH_LEN) == 0)
            return "this key stands in an earlier line too";
    k->n++;
    return NULL;
}

static enum err take_lines(struct api_keys *k, const char *name, struct bytes text, struct fault *fault)
{
    struct bytes rest = text;
    for (unsigned number = 1; rest.len > 0; number++) {
        const uint8_t *end = memchr(rest.ptr, '\n', rest.len);
        size_t len = end != NULL ? (size_t)(end - rest.ptr) : rest.len;
        if (k->n == API_KEYS_MAX)
            return fault_set(fault, ERR_CONFIG, "%.300s:%u: more than %d keys", name, number, API_KEYS_MAX);
        const char *why = take_line(k, bytes_of(rest.ptr, len));
        if (why != NULL)
            return fault_set(fault, ERR_CONFIG, "%.300s:%u: %s", name, number, why);
        len += end != NULL;
        rest = bytes_of(rest.ptr + len, rest.len - len);
    }
    return OK;
}

MUST_USE enum err api_keys_parse(struct api_keys **out, const char *name, struct bytes text, struct fault *fault)
{
    struct api_keys *k = calloc(1, sizeof *k);
    enum err err = ERR_NOMEM;
    if (k == NULL)
        return err;
    k->known = calloc(API_KEYS_MAX, sizeof *k->known);
    if (k->known != NULL) {
        randombytes_buf(k->secret, sizeof k->secret);
        err = take_lines(k, name, text, fault);
    }
    if (err != OK) {
        api_keys_free(k);
        return err;
    }
    *out = k;
    return OK;
}

MUST_USE enum err api_keys_load(struct api_keys **out, const char *path, struct fault *fault)
{
    struct bytes text;
    enum err err = file_read(path, FILE_MAX, &text, fault);
    if (err != OK)
        return err;
    err = api_keys_parse(out, path, text, fault);
    uint8_t *file = (uint8_t *)(uintptr_t)text.ptr;
    sodium_memzero(file, text.len);
    free(file);
    return err;
}

void api_keys_free(struct api_keys *k)
{
    if (k == NULL)
        return;
    sodium_memzero(k->secret, sizeof k->secret);
    free(k->known);
    free(k);
}

size_t api_keys_count(const struct api_keys *k)
{
    return k->n;
}

const struct api_key *api_keys_find(const struct api_keys *k, const char *sent)
{
    const struct api_key *found = NULL;
    uint8_t hash[HASH_LEN];
    if (sent == NULL || strlen(sent) > API_KEY_MOST)
        return NULL;
    hash_of(k, bytes_of_text(sent), hash);
    for (size_t i = 0; i < k->n; i++)
        if (sodium_memcmp(k->known[i].hash, hash, HASH_LEN) == 0)
            found = &k->known[i].key;
    return found;
}

bool api_keys_file_is_open(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && (st.st_mode & S_IROTH) != 0;
}
