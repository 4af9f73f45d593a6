/* What a verification found, printed: for verify and compile. */
#ifndef PM_CLI_VERIFY_REPORT_H
#define PM_CLI_VERIFY_REPORT_H

#include "cli/cli.h"

void cli_print_verify_report(const pm_verify_report *r, bool all); /* all: a line for every operation */
json_t *cli_verify_report_json(const pm_verify_report *r, const char *device); /* NULL: memory is out */

#endif
