// fastscnn doctor: whether this machine can run the network, with which backends, and what to do about the rest.
#include <gnu/libc-version.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "host/cli/cli.h"

static int available_cores(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
}

// Prints a text of several lines with its lines aligned under the first.
static void print_block(const char *name, const char *text) {
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        printf("%-10s%.*s\n", name, (int)length, text);
        name = "";
        text += length + (text[length] == '\n');
    }
}

static bool check_backend(fscnn_backend backend) {
    const char *name = fs_backend_names[backend];
    fscnn_backend_info info;
    fscnn_backend_info_init(&info);
    if (fscnn_backend_query(backend, &info) != FSCNN_OK) {
        printf("%-10snot usable\n", name);
        print_block("", fscnn_error());
        return false;
    }
    printf("%-10s%s%s%s\n", name, info.usable ? "usable" : "not usable", info.device[0] != '\0' ? ": " : "",
           info.device);
    print_block("", info.detail);
    return info.usable != 0;
}

int fs_verb_doctor(int argc, char **argv) {
    const fs_command command = {
        .name = "doctor",
        .synopsis = "",
        .about =
            "Checks this machine: which backends are usable, why the others are not and what to do, cores, memory,\n"
            "library versions, the bundled model. Exit code 0 when at least one backend is usable.",
        .examples = "  fastscnn doctor",
    };
    int operand, code;
    if (!fs_cli_parse(&command, argc, argv, &operand, &code)) return code;

    struct utsname system;
    bool known = uname(&system) == 0;
    printf("%-10s%s (commit %s)\n", "fastscnn", fscnn_version_string(), FS_COMMIT);
    printf("%-10s%s %s %s, glibc %s\n", "system", known ? system.sysname : "unknown", known ? system.release : "",
           known ? system.machine : "", gnu_get_libc_version());
    printf("%-10s%d usable of %ld online\n", "cores", available_cores(), sysconf(_SC_NPROCESSORS_ONLN));
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    char total[32], free_now[32];
    printf("%-10s%s, %s free\n", "memory", fs_bytes_text((uint64_t)sysconf(_SC_PHYS_PAGES) * page, total),
           fs_bytes_text((uint64_t)sysconf(_SC_AVPHYS_PAGES) * page, free_now));
    bool cpu = check_backend(FSCNN_BACKEND_CPU);
    bool cuda = check_backend(FSCNN_BACKEND_CUDA);
    const char *weights = fs_bundled_weights();
    if (weights != NULL)
        printf("%-10sbundled: %s\n", "model", weights);
    else
        printf("%-10snone bundled: pass --weights FILE (weights/convert.py makes one)\n", "model");
    if (!cpu && !cuda) {
        printf("%-10sno usable backend: nothing can run here\n", "verdict");
        return FS_EXIT_FAILED;
    }
    printf("%-10sready; try 'fastscnn bench'\n", "verdict");
    return FS_EXIT_OK;
}
