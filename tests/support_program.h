/* What holds of every program that lowering makes. */
#ifndef PM_TEST_SUPPORT_PROGRAM_H
#define PM_TEST_SUPPORT_PROGRAM_H

#include "graph/program.h"

/* Bindings within their slots, group counts within the device's limits, barriers, and nothing read after its death. */
void test_check_program(const pm_program *p, const pm_caps *caps);
/* Barriers stand where dispatches conflict, and nowhere else. */
void test_check_barriers(const pm_program *p);
/* Outputs never die; a death names room of the arena; they come in order. */
void test_check_deaths(const pm_program *p);

#endif
