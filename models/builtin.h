/* The files of the built-in models, embedded at build time (cmake/builtin.cmake). Ends with a row of zeros. */
#ifndef PM_BUILTIN_H
#define PM_BUILTIN_H

typedef struct pm_builtin_file {
    const char *model, *file;
    const unsigned char *data;
    const unsigned long *bytes;
} pm_builtin_file;
extern const pm_builtin_file pm_builtin_files[];

#endif
