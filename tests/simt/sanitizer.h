// Whether this is a build with AddressSanitizer (SIMT_ASAN), and its interface.
#ifndef FS_TESTS_SIMT_SANITIZER_H
#define FS_TESTS_SIMT_SANITIZER_H

#ifdef __has_feature // clang
#if __has_feature(address_sanitizer)
#define SIMT_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__) // g++
#define SIMT_ASAN 1
#endif

#ifdef SIMT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#endif

#endif
