// What a backend module shares with the library that loads it: one error text a thread, one log, one allocator.
#ifndef FS_BASE_SERVICES_H
#define FS_BASE_SERVICES_H

#include <stddef.h>

// A module (libfastscnn-cuda.so) is linked with base code of its own, since the library exports none of its internals.
// Through these functions that copy hands on what must exist once in a process.
typedef struct fs_services {
    void (*set_error)(const char *text);         // of the calling thread
    int (*log_level)(void);                      // highest level that somebody listens to
    void (*log)(int level, const char *message); //
    void *(*allocate)(size_t count, size_t size);
    void (*release)(void *block);
} fs_services;

// Those of this copy.
const fs_services *fs_services_own(void);
// Makes this copy hand on to `services` from now on. Before anything else of it is used; once.
void fs_services_use(const fs_services *services);
// What fs_services_use was given, or NULL.
const fs_services *fs_services_used(void);

#endif
