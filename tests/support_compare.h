/* Comparing a model's outputs with a reference.safetensors. */
#ifndef PM_TEST_SUPPORT_COMPARE_H
#define PM_TEST_SUPPORT_COMPARE_H

#include "pumice/model.h"

#define TEST_TOLERANCE 1e-4

/* Norm of the difference over norm of the expected; the former alone where the latter is 0. mask: of padding, or NULL. */
double test_relative_error(const pm_array *is, const pm_array *expected, const pm_array *mask);

/* `is` is there, in the shape of the expected, and within TEST_TOLERANCE of it. */
void test_expect_near(const char *what, const pm_array *is, const pm_array *expected, const pm_array *mask);

/* Every output of the reference that the set has is within TEST_TOLERANCE of it, padding left out; all: and the set has each.
 * Returns how many were compared. */
int test_compare(const char *what, const pm_tensors *set, const pm_tensors *reference, bool all);

#endif
