/* Node keys: the two files of record.h's last section. */
#include "replicator/record.h"

#include "base/file.h"
#include "base/text.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEY_PATH_MAX 4096
#define SECRET_TEXT 89          /* base64 of 64 bytes and the final 0 */
static const char scheme[] = "ed25519:";

const char *node_pub_text(char *out, size_t cap, const uint8_t pub[32])
{
    char b64[48];
    text_base64(b64, sizeof b64, bytes_of(pub, 32));
    snprintf(out, cap, "%s%s", scheme, b64);
    return out;
}

enum err node_pub_parse(const char *text, uint8_t out[32])
{
    char b64[48];
    size_t len = strlen(text);
    if (strncmp(text, scheme, sizeof scheme - 1) != 0)
        return ERR_BAD;
    text += sizeof scheme - 1;
    len -= sizeof scheme - 1;
    if (len > 0 && text[len - 1] == '\n')       /* as the line stands in its file */
        len--;
    if (len >= sizeof b64)
        return ERR_BAD;
    memcpy(b64, text, len);
    b64[len] = '\0';
    return text_from_base64(b64, out, 32) == OK ? OK : ERR_BAD;
}

enum err node_key_make(const char *dir, bool replace, struct node_key *out, struct fault *fault)
{
    char key_path[KEY_PATH_MAX], pub_path[KEY_PATH_MAX], secret[SECRET_TEXT + 1], pub[80];
    struct node_key key;
    enum err err;
    if (sodium_init() < 0)
        return fault_set(fault, ERR_IO, "libsodium does not start");
    if ((err = file_path(key_path, sizeof key_path, dir, "node.key")) != OK
        || (err = file_path(pub_path, sizeof pub_path, dir, "node.pub")) != OK)
        return fault_set(fault, err, "%s: path is too long", dir);
    if (!replace && access(key_path, F_OK) == 0)
        return fault_set(fault, ERR_EXISTS, "%s is there already", key_path);
    if ((err = file_folder(dir, fault)) != OK)
        return err;
    crypto_sign_keypair(key.pub, key.secret);
    text_base64(secret, SECRET_TEXT, bytes_of(key.secret, sizeof key.secret));
    strcat(secret, "\n");
    node_pub_text(pub, sizeof pub - 1, key.pub);
    strcat(pub, "\n");
    err = file_replace(key_path, bytes_of_text(secret), 0600, fault);
    if (err == OK)
        err = file_replace(pub_path, bytes_of_text(pub), 0644, fault);
    if (err == OK)
        *out = key;
    sodium_memzero(secret, sizeof secret);
    sodium_memzero(&key, sizeof key);
    return err;
}

enum err node_pub_keep(const char *dir, const struct node_key *key, struct fault *fault)
{
    char path[KEY_PATH_MAX], line[80];
    struct bytes is = { NULL, 0 };
    enum err err = file_path(path, sizeof path, dir, "node.pub");
    if (err != OK)
        return fault_set(fault, err, "%s: path is too long", dir);
    node_pub_text(line, sizeof line - 1, key->pub);
    strcat(line, "\n");
    err = file_read(path, 4096, &is, NULL);
    bool same = err == OK && bytes_equal(is, bytes_of_text(line));
    free((void *)(uintptr_t)is.ptr);
    return same ? OK : file_replace(path, bytes_of_text(line), 0644, fault);
}

static enum err key_parse(struct bytes file, struct node_key *out)
{
    char text[SECRET_TEXT];
    uint8_t again[64];
    size_t len = file.len;
    if (len > 0 && file.ptr[len - 1] == '\n')
        len--;
    if (len != SECRET_TEXT - 1)
        return ERR_BAD;
    memcpy(text, file.ptr, len);
    text[len] = '\0';
    enum err err = text_from_base64(text, out->secret, sizeof out->secret);
    if (err == OK) {                /* the second half of the secret is the public key: it must be that of the first */
        crypto_sign_seed_keypair(out->pub, again, out->secret);
        if (memcmp(again, out->secret, sizeof again) != 0)
            err = ERR_BAD;
    }
    sodium_memzero(text, sizeof text);
    sodium_memzero(again, sizeof again);
    return err;
}

enum err node_key_load(const char *dir, struct node_key *out, struct fault *fault)
{
    char path[KEY_PATH_MAX];
    struct bytes file;
    enum err err;
    if (sodium_init() < 0)
        return fault_set(fault, ERR_IO, "libsodium does not start");
    if ((err = file_path(path, sizeof path, dir, "node.key")) != OK)
        return fault_set(fault, err, "%s: path is too long", dir);
    err = file_read(path, 4096, &file, fault);
    if (err == ERR_NOTFOUND)
        return fault_set(fault, err, "%s is missing: make it with `azoth keygen --dir %s`", path, dir);
    if (err != OK)
        return err;
    if ((err = key_parse(file, out)) != OK)
        err = fault_set(fault, ERR_BAD, "%s is not a node key", path);
    sodium_memzero((void *)(uintptr_t)file.ptr, file.len);
    free((void *)(uintptr_t)file.ptr);
    return err;
}
