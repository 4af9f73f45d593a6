/* Test only: what options.broken_kernel of the CPU executors does. */
#ifndef PM_SPOIL_H
#define PM_SPOIL_H

#include "runtime/cpu/cpu_kernel.h"

/* Makes the first element that the call wrote wrong, visibly for any type. A call that wrote none stays as it is. */
void pm_spoil(pm_kernel kernel, const pm_call *call);

#endif
