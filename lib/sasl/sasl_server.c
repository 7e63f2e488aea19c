/* sasl/sasl_server.c - see sasl_server.h. */
#include "sasl/sasl_server.h"

#include "base/assert.h"
#include "base/error.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const char *const names[SASL_MECHANISM_COUNT] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"};

const char *sasl_mechanism_name(enum sasl_mechanism mechanism)
{
    return names[mechanism];
}

bool sasl_mechanism_find(struct slice name, enum sasl_mechanism *ret_mechanism)
{
    for (size_t i = 0; i < SASL_MECHANISM_COUNT; i++) {
        if (name.size != strlen(names[i]) || memcmp(name.data, names[i], name.size) != 0) continue;
        *ret_mechanism = (enum sasl_mechanism)i;
        return true;
    }
    return false;
}

enum scram_hash sasl_mechanism_hash(enum sasl_mechanism mechanism)
{
    return mechanism == SASL_SCRAM_SHA_512 ? SCRAM_SHA_512 : SCRAM_SHA_256;
}

void sasl_server_init(struct sasl_server *server, enum sasl_mechanism mechanism)
{
    memset(server, 0, sizeof(*server));
    server->mechanism = mechanism;
}

void sasl_server_deinit(struct sasl_server *server)
{
    buffer_deinit(&server->server_first);
    sodium_memzero(server, sizeof(*server));
    server->state = SASL_OVER;
}

/* ---- pieces of messages ---- */

/* Takes what stands before the next `end` (which goes too), or all that is left. */
static struct slice take_until(struct slice *rest, uint8_t end)
{
    const uint8_t *at = rest->size == 0 ? NULL : memchr(rest->data, end, rest->size);
    size_t size = at == NULL ? rest->size : (size_t)(at - rest->data);
    struct slice taken = slice_of(rest->data, size);

    size += at != NULL;
    *rest = slice_of(rest->data + size, rest->size - size);
    return taken;
}

/* Takes the attribute that must come next, as "r=..."; false: it is another one, or none. */
static bool take_attribute(struct slice *rest, char letter, struct slice *ret_value)
{
    struct slice taken = take_until(rest, ',');

    if (taken.size < 2 || taken.data[0] != (uint8_t)letter || taken.data[1] != '=') return false;
    *ret_value = slice_of(taken.data + 2, taken.size - 2);
    return true;
}

/* A name as SCRAM writes it: =2C stands for a comma, =3D for an equals sign. False: it is no name, or too long. */
static bool unescape_name(struct slice text, char to[SASL_NAME_SIZE_MAX + 1])
{
    size_t size = 0;

    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];

        if (byte == '=') {
            if (text.size - i < 3) return false;
            if (memcmp(text.data + i, "=2C", 3) == 0)
                byte = ',';
            else if (memcmp(text.data + i, "=3D", 3) == 0)
                byte = '=';
            else
                return false;
            i += 2;
        }
        if (byte == 0 || size == SASL_NAME_SIZE_MAX) return false;
        to[size++] = (char)byte;
    }
    to[size] = '\0';
    return size > 0;
}

static bool is_nonce(struct slice nonce)
{
    if (nonce.size == 0 || nonce.size > SASL_CLIENT_NONCE_MAX) return false;
    for (size_t i = 0; i < nonce.size; i++)
        if (nonce.data[i] < 0x21 || nonce.data[i] > 0x7e) return false;
    return true;
}

/* ---- PLAIN ---- */

/* authzid NUL name NUL password. Acting for somebody else is not offered. */
static enum sasl_step plain(struct sasl_server *server, struct slice token)
{
    struct slice rest = token, acting_for, name;

    acting_for = take_until(&rest, 0);
    name = take_until(&rest, 0);
    server->state = SASL_OVER;
    if (acting_for.size + name.size + 2 + rest.size != token.size) return SASL_FAILED; /* a NUL is missing */
    if (name.size == 0 || name.size > SASL_NAME_SIZE_MAX || rest.size == 0 || rest.size > SCRAM_PASSWORD_SIZE_MAX) return SASL_FAILED;
    if (memchr(rest.data, 0, rest.size) != NULL) return SASL_FAILED;
    if (acting_for.size > 0 && (acting_for.size != name.size || memcmp(acting_for.data, name.data, name.size) != 0)) return SASL_FAILED;
    memcpy(server->name, name.data, name.size);
    memcpy(server->password, rest.data, rest.size);
    server->password_size = rest.size;
    return SASL_CHECK;
}

/* ---- SCRAM ---- */

/* "n," or "y," (no channel is bound, which is not offered), and for whom it acts: nobody else. */
static bool take_header(struct sasl_server *server, struct slice *rest, struct slice *ret_acting_for)
{
    const uint8_t *begin = rest->data;
    struct slice flag = take_until(rest, ','), acting_for;

    if (flag.size != 1 || (flag.data[0] != 'n' && flag.data[0] != 'y')) return false;
    acting_for = take_until(rest, ',');
    if (acting_for.size == 1 || (acting_for.size > 0 && memcmp(acting_for.data, "a=", 2) != 0)) return false;
    *ret_acting_for = acting_for.size == 0 ? acting_for : slice_of(acting_for.data + 2, acting_for.size - 2);
    server->header_size = (size_t)(rest->data - begin);
    if (server->header_size > sizeof(server->header)) return false;
    memcpy(server->header, begin, server->header_size);
    return true;
}

static enum sasl_step scram_first(struct sasl_server *server, struct slice token)
{
    struct slice rest = token, acting_for, name, nonce;
    char other[SASL_NAME_SIZE_MAX + 1];

    server->state = SASL_OVER;
    if (!take_header(server, &rest, &acting_for)) return SASL_FAILED;
    memcpy(server->client_first, rest.data, rest.size);
    server->client_first_size = rest.size;
    if (!take_attribute(&rest, 'n', &name) || !take_attribute(&rest, 'r', &nonce)) return SASL_FAILED; /* "m=": extensions that we would have to know */
    if (!unescape_name(name, server->name) || !is_nonce(nonce)) return SASL_FAILED;
    if (acting_for.size > 0 && (!unescape_name(acting_for, other) || strcmp(other, server->name) != 0)) return SASL_FAILED;
    /* Kafka's extension: the name is a delegation token's. There are none. */
    if (rest.size > 0 && memmem(rest.data, rest.size, "tokenauth=true", strlen("tokenauth=true")) != NULL) return SASL_FAILED;
    memcpy(server->nonce, nonce.data, nonce.size);
    server->nonce_size = nonce.size;
    server->state = SASL_LOOKING_UP;
    return SASL_LOOK_UP;
}

int sasl_server_challenge(struct sasl_server *server, const struct scram_verifier *verifier, const char *nonce, struct buffer *reply)
{
    char salt[SCRAM_SALT_SIZE_MAX * 2];
    struct buffer *first = &server->server_first;
    int err;

    MESH_ASSERT(server->state == SASL_LOOKING_UP && strlen(nonce) <= SASL_NONCE_MAX);
    sodium_bin2base64(salt, sizeof(salt), verifier->salt, verifier->salt_size, sodium_base64_VARIANT_ORIGINAL);
    memcpy(server->nonce + server->nonce_size, nonce, strlen(nonce));
    server->nonce_size += strlen(nonce);
    server->verifier = *verifier;
    err = buffer_printf(first, "r=%.*s,s=%s,i=%u", (int)server->nonce_size, server->nonce, salt, verifier->iterations);
    if (err == 0) err = buffer_append(reply, first->data, first->size);
    server->state = err == 0 ? SASL_CHALLENGED : SASL_OVER;
    return err;
}

/* c=, the header again, in base64. */
static bool is_header(const struct sasl_server *server, struct slice text)
{
    char header[sizeof(server->header)];
    size_t size;

    return sodium_base642bin((uint8_t *)header, sizeof(header), (const char *)text.data, text.size, NULL, &size, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           size == server->header_size && memcmp(header, server->header, size) == 0;
}

/* Whether the proof shows the key whose hash is stored; and our signature, for which both sign the same. */
static bool is_proven(const struct sasl_server *server, struct slice signed_text, const uint8_t *proof, uint8_t *ret_signature)
{
    const struct scram_verifier *verifier = &server->verifier;
    size_t size = scram_key_size(verifier->hash);
    uint8_t key[SCRAM_KEY_SIZE_MAX], stored[SCRAM_KEY_SIZE_MAX];
    bool is_same;

    scram_hmac(verifier->hash, slice_of(verifier->stored_key, size), signed_text, key);
    for (size_t i = 0; i < size; i++)
        key[i] ^= proof[i];
    scram_digest(verifier->hash, slice_of(key, size), stored);
    scram_hmac(verifier->hash, slice_of(verifier->server_key, size), signed_text, ret_signature);
    is_same = sodium_memcmp(stored, verifier->stored_key, size) == 0;
    sodium_memzero(key, sizeof(key));
    return is_same;
}

/* It ends in the whole nonce. librdkafka (seen: 2.0.2) writes its own half once more in front, which Kafka takes; both sides sign it as it is. */
static bool is_nonce_of(const struct sasl_server *server, struct slice nonce)
{
    if (nonce.size < server->nonce_size || nonce.size > server->nonce_size + SASL_CLIENT_NONCE_MAX) return false;
    return memcmp(nonce.data + nonce.size - server->nonce_size, server->nonce, server->nonce_size) == 0;
}

/* Reads "c=...,r=...,[extensions,]p=..."; *ret_bare is what stands before the proof. */
static bool read_final(const struct sasl_server *server, struct slice token, struct slice *ret_bare, uint8_t *ret_proof)
{
    struct slice rest = token, header, nonce, proof = slice_of(NULL, 0);
    size_t size;

    if (!take_attribute(&rest, 'c', &header) || !take_attribute(&rest, 'r', &nonce)) return false;
    while (rest.size > 0) {
        struct slice before = rest;

        if (!take_attribute(&rest, 'p', &proof)) continue;
        if (rest.size > 0) return false; /* the proof is the last */
        *ret_bare = slice_of(token.data, (size_t)(before.data - token.data) - 1);
    }
    if (proof.data == NULL || !is_header(server, header)) return false;
    if (!is_nonce_of(server, nonce)) return false;
    return sodium_base642bin(ret_proof, SCRAM_KEY_SIZE_MAX, (const char *)proof.data, proof.size, NULL, &size, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           size == scram_key_size(server->verifier.hash);
}

/* Errors: MESH_ENOMEM. */
static int put_signed(const struct sasl_server *server, struct slice bare, struct buffer *to)
{
    int err = buffer_append(to, server->client_first, server->client_first_size);

    if (err == 0) err = buffer_append(to, ",", 1);
    if (err == 0) err = buffer_append(to, server->server_first.data, server->server_first.size);
    if (err == 0) err = buffer_append(to, ",", 1);
    return err != 0 ? err : buffer_append(to, bare.data, bare.size);
}

static enum sasl_step scram_final(struct sasl_server *server, struct slice token, struct buffer *reply)
{
    uint8_t proof[SCRAM_KEY_SIZE_MAX], signature[SCRAM_KEY_SIZE_MAX];
    char text[SCRAM_KEY_SIZE_MAX * 2];
    struct buffer signed_text = BUFFER_INIT;
    struct slice bare;
    enum sasl_step result = SASL_FAILED;

    server->state = SASL_OVER;
    if (!read_final(server, token, &bare, proof)) return SASL_FAILED;
    if (put_signed(server, bare, &signed_text) != 0) {
        result = SASL_PUT_OFF;
    } else if (is_proven(server, buffer_slice(&signed_text), proof, signature)) {
        sodium_bin2base64(text, sizeof(text), signature, scram_key_size(server->verifier.hash), sodium_base64_VARIANT_ORIGINAL);
        result = buffer_printf(reply, "v=%s", text) == 0 ? SASL_DONE : SASL_PUT_OFF;
    }
    buffer_deinit(&signed_text);
    return result;
}

/* ---- steps ---- */

enum sasl_step sasl_server_step(struct sasl_server *server, struct slice token, struct buffer *reply)
{
    bool is_first = server->state == SASL_BEGIN;

    if (token.size == 0 || token.size > SASL_TOKEN_SIZE_MAX) {
        server->state = SASL_OVER;
        return SASL_FAILED;
    }
    if (is_first && server->mechanism == SASL_PLAIN) return plain(server, token);
    if (is_first) return scram_first(server, token);
    if (server->state == SASL_CHALLENGED) return scram_final(server, token, reply);
    server->state = SASL_OVER;
    return SASL_FAILED;
}
