/* The pipeline cache's file. Drivers are known to crash on damaged caches, so the bytes stand behind a
 * checksum of ours and the device's identity is compared before the driver sees them. */
#include "runtime/vulkan/vk_cache.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES (256u << 20)
#define MAGIC     "PUMICEP1"

typedef struct file_header {
    char magic[8];
    uint64_t bytes, checksum; /* of what follows */
} file_header;

/* The start of every driver's data (VkPipelineCacheHeaderVersionOne). */
typedef struct driver_header {
    uint32_t bytes, version, vendor_id, device_id;
    uint8_t uuid[16];
} driver_header;

static uint64_t checksum(const unsigned char *data, size_t n) {
    uint64_t h = 0xcbf29ce484222325ull; /* FNV-1a */
    for (size_t i = 0; i < n; i++) h = (h ^ data[i]) * 0x100000001b3ull;
    return h;
}

static void add_folder(pm_text *t, const char *dir) {
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (dir)
        pm_text_add(t, "%s", dir);
    else if (xdg && xdg[0] == '/')
        pm_text_add(t, "%s/pumice", xdg);
    else if (home && home[0] == '/')
        pm_text_add(t, "%s/.cache/pumice", home);
}

pm_status pm_vk_cache_path(const pm_caps *c, const char *dir, char **out_path) {
    *out_path = NULL;
    pm_text t = {0};
    add_folder(&t, dir);
    if (t.length > 0) {
        pm_text_add(&t, "/%08x-%08x-%08x-", c->vendor_id, c->device_id, c->driver_version);
        for (size_t i = 0; i < sizeof c->pipeline_cache_uuid; i++)
            pm_text_add(&t, "%02x", c->pipeline_cache_uuid[i]);
        pm_text_add(&t, ".bin");
        *out_path = t.failed ? NULL : pm_strdup(t.data);
        if (!*out_path) t.failed = true;
    }
    pm_status s = pm_text_status(&t);
    pm_text_free(&t);
    return s;
}

static bool is_of_device(const void *data, size_t bytes, const pm_caps *c) {
    driver_header h;
    if (bytes < sizeof h) return false;
    memcpy(&h, data, sizeof h);
    return h.bytes >= sizeof h && h.version == 1 && h.vendor_id == c->vendor_id &&
           h.device_id == c->device_id && memcmp(h.uuid, c->pipeline_cache_uuid, sizeof h.uuid) == 0;
}

void *pm_vk_cache_read(const char *path, const pm_caps *caps, size_t *out_bytes) {
    *out_bytes = 0;
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    file_header h;
    void *data = NULL;
    if (fread(&h, sizeof h, 1, f) == 1 && memcmp(h.magic, MAGIC, sizeof h.magic) == 0 && h.bytes <= MAX_BYTES)
        data = pm_alloc((size_t)h.bytes);
    size_t bytes = data ? (size_t)h.bytes : 0;
    bool good = data && fread(data, 1, bytes, f) == bytes && checksum(data, bytes) == h.checksum &&
                is_of_device(data, bytes, caps);
    (void)fclose(f); /* only read */
    if (!good) {
        pm_free(data);
        return NULL;
    }
    *out_bytes = bytes;
    return data;
}

/* Makes every folder above the file. */
static void make_folders(char *path) {
    for (char *p = path + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            (void)mkdir(path, 0700); /* there already, or opening the file tells */
            *p = '/';
        }
}

void pm_vk_cache_write(const char *path, const void *data, size_t bytes) {
    static atomic_uint n_written; /* executors of several threads may write the same file */
    pm_text t = {0};
    pm_text_add(&t, "%s.%ld-%u", path, (long)getpid(), atomic_fetch_add(&n_written, 1u));
    if (pm_text_status(&t) == PM_OK && bytes <= MAX_BYTES) {
        make_folders(t.data);
        FILE *f = fopen(t.data, "wb");
        if (f) {
            file_header h = {.bytes = bytes, .checksum = checksum(data, bytes)};
            memcpy(h.magic, MAGIC, sizeof h.magic);
            bool good = fwrite(&h, sizeof h, 1, f) == 1 && fwrite(data, 1, bytes, f) == bytes;
            good = fclose(f) == 0 && good;
            if (!good || rename(t.data, path) != 0) (void)remove(t.data);
        }
    }
    pm_text_free(&t);
}
