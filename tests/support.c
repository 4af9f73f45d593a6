/* See support.h. */
#include "tests/support.h"

#include <stdlib.h>
#include <sys/stat.h>

int test_n_skipped;

int test_exit_code(int n_failed, int n_tests) {
    if (n_failed) return 1;
    return test_n_skipped == n_tests ? 77 : 0;
}

const char *test_device(void) {
    const char *device = getenv("PUMICE_TEST_DEVICE");
    return device ? device : "vulkan";
}

const char *test_shared_dir(void) {
    const char *dir = getenv("PUMICE_SHARED");
    struct stat st;
    if (!dir) dir = PM_SOURCE_DIR "/../shared";
    return stat(dir, &st) == 0 ? dir : NULL;
}

uint64_t test_random(test_rng *r) {
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t test_below(test_rng *r, uint32_t n) {
    return (uint32_t)((test_random(r) >> 32) * n >> 32);
}

float test_uniform(test_rng *r, float lo, float hi) {
    return lo + (hi - lo) * (float)(test_random(r) >> 40) / 16777216.0f;
}
