/* crypto/gcm_wide.c - see gcm_wide.h. */
#include "crypto/gcm_wide.h"

#include "base/assert.h"
#include "base/error.h"

#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define KEY_ALIGNMENT 64 /* the library asks for it */

#define LIBRARY_NAME "libIPSec_MB.so.1"

/* What is called of the library by name. It is looked for when it is first wanted, not linked: it is larger than all else together, and a machine that cannot use
 * it, or an image that has to be small, goes without. */
struct library {
    void *handle;
    IMB_MGR *(*alloc_manager)(uint64_t flags);
    void (*free_manager)(IMB_MGR *manager);
    void (*init_avx512)(IMB_MGR *manager);
    int (*get_errno)(IMB_MGR *manager);
};

/* Of the library's manager only what it was filled with for this processor is used, which any thread may read; what jobs of its own would need is not. */
static _Atomic(IMB_MGR *) manager; /* NULL: nobody has looked, or it is not here. Never freed: threads may still seal while the process exits */
static atomic_bool is_unable;

struct wide_functions {
    aes_gcm_init_t init;
    aes_gcm_enc_dec_update_t seal, open;
    aes_gcm_enc_dec_finalize_t seal_end, open_end;
};

struct gcm_wide {
    struct gcm_key_data key; /* first: aligned */
    struct gcm_context_data context;
    struct wide_functions functions; /* for the key's size, once there is one */
};

/* A function of the library; dlsym()'s result is an object's address in ISO C, POSIX says that it may be a function's. */
static bool find(void *handle, const char *name, void *to)
{
    void *symbol = dlsym(handle, name);

    memcpy(to, &symbol, sizeof(symbol));
    return symbol != NULL;
}

static bool library_open(struct library *library)
{
    void *handle = dlopen(LIBRARY_NAME, RTLD_NOW | RTLD_LOCAL);

    if (handle == NULL) return false;
    library->handle = handle;
    if (find(handle, "alloc_mb_mgr", &library->alloc_manager) && find(handle, "free_mb_mgr", &library->free_manager) &&
        find(handle, "init_mb_mgr_avx512", &library->init_avx512) && find(handle, "imb_get_errno", &library->get_errno))
        return true;
    (void)dlclose(handle);
    return false;
}

/* Initialised, the library has tested itself with published vectors. */
static bool is_able(const struct library *library, IMB_MGR *found)
{
    const uint64_t needed = IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ | IMB_FEATURE_AVX512_SKX;

    if ((found->features & needed) != needed) return false;
    library->init_avx512(found);
    return library->get_errno(found) == 0 && (found->features & IMB_FEATURE_SELF_TEST_PASS) != 0;
}

bool gcm_wide_is_here(void)
{
    IMB_MGR *found, *none = NULL;
    struct library library;

    if (atomic_load(&manager) != NULL) return true;
    if (atomic_load(&is_unable)) return false;
    if (!library_open(&library)) {
        atomic_store(&is_unable, true);
        return false;
    }
    found = library.alloc_manager(0);
    if (found == NULL) { /* OpenSSL does it until there is memory */
        (void)dlclose(library.handle);
        return false;
    }
    if (!is_able(&library, found)) {
        atomic_store(&is_unable, true);
        library.free_manager(found);
        (void)dlclose(library.handle);
        return false;
    }
    if (!atomic_compare_exchange_strong(&manager, &none, found)) library.free_manager(found); /* another thread was quicker, and found the same: the library stays */
    return true;
}

int gcm_wide_new(struct gcm_wide **ret_wide)
{
    void *wide;

    MESH_ASSERT(gcm_wide_is_here());
    if (posix_memalign(&wide, KEY_ALIGNMENT, sizeof(struct gcm_wide)) != 0) return MESH_ENOMEM;
    *ret_wide = wide;
    return 0;
}

void gcm_wide_free(struct gcm_wide *wide)
{
    if (wide == NULL) return;
    sodium_memzero(wide, sizeof *wide);
    free(wide);
}

void gcm_wide_set_key(struct gcm_wide *wide, struct slice key)
{
    const IMB_MGR *m = atomic_load(&manager);

    if (key.size == 16) {
        m->gcm128_pre(key.data, &wide->key);
        wide->functions = (struct wide_functions){m->gcm128_init, m->gcm128_enc_update, m->gcm128_dec_update, m->gcm128_enc_finalize, m->gcm128_dec_finalize};
    } else {
        MESH_ASSERT(key.size == GCM_KEY_SIZE_MAX);
        m->gcm256_pre(key.data, &wide->key);
        wide->functions = (struct wide_functions){m->gcm256_init, m->gcm256_enc_update, m->gcm256_dec_update, m->gcm256_enc_finalize, m->gcm256_dec_finalize};
    }
}

void gcm_wide_seal(struct gcm_wide *wide, const uint8_t nonce[GCM_NONCE_SIZE], struct slice header, const struct slice *pieces, size_t count, uint8_t *to)
{
    const struct wide_functions *functions = &wide->functions;

    functions->init(&wide->key, &wide->context, nonce, header.data, header.size);
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].size == 0) continue;
        functions->seal(&wide->key, &wide->context, to, pieces[i].data, pieces[i].size);
        to += pieces[i].size;
    }
    functions->seal_end(&wide->key, &wide->context, to, GCM_TAG_SIZE);
}

bool gcm_wide_open(struct gcm_wide *wide, const uint8_t nonce[GCM_NONCE_SIZE], struct slice header, uint8_t *text, size_t size)
{
    const struct wide_functions *functions = &wide->functions;
    uint8_t tag[GCM_TAG_SIZE];
    bool is_authentic;

    functions->init(&wide->key, &wide->context, nonce, header.data, header.size);
    if (size > 0) functions->open(&wide->key, &wide->context, text, text, size);
    functions->open_end(&wide->key, &wide->context, tag, GCM_TAG_SIZE);
    is_authentic = sodium_memcmp(tag, text + size, GCM_TAG_SIZE) == 0; /* in constant time */
    sodium_memzero(tag, sizeof tag); /* of a forged frame it is what a forger wants to know */
    if (!is_authentic) sodium_memzero(text, size);
    return is_authentic;
}
