// Messages, time and file checks that every verb uses.
#include "host/cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/writer.h"

static void complain(const char *format, va_list arguments, const char *ending) {
    fputs("fastscnn: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs(ending, stderr);
}

void fs_complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    complain(format, arguments, "\n");
    va_end(arguments);
}

int fs_usage(const char *verb, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    complain(format, arguments, "");
    va_end(arguments);
    fprintf(stderr, "; see 'fastscnn %s --help'\n", verb);
    return FS_EXIT_USAGE;
}

bool fs_cli_parse(const fs_command *command, int argc, char **argv, int *operand, int *exit_code) {
    char error[1024];
    switch (fs_options_parse(command, argc, argv, operand, error, sizeof error)) {
    case FS_PARSE_GO: return true;
    case FS_PARSE_HELP:
        fs_options_help(command, stdout);
        *exit_code = FS_EXIT_OK;
        return false;
    case FS_PARSE_BAD: break;
    }
    *exit_code = fs_usage(command->name, "%s", error);
    return false;
}

double fs_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

const char *fs_bytes_text(uint64_t bytes, char text[32]) {
    static const char *const units[] = {"kB", "MB", "GB", "TB"};
    double value = (double)bytes / 1000;
    size_t unit = 0;
    while (value >= 1000 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1000;
        unit++;
    }
    if (bytes < 1000)
        snprintf(text, 32, "%d B", (int)bytes);
    else
        snprintf(text, 32, "%.1f %s", value, units[unit]);
    return text;
}

bool fs_name_ends(const char *path, const char *ending) {
    size_t length = strlen(path), tail = strlen(ending);
    return length > tail && strcasecmp(path + length - tail, ending) == 0;
}

bool fs_output_check(const char *path) {
    struct stat status;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        fs_complain("cannot write '%s': it is a folder; give a file name", path);
        return false;
    }
    char folder[4096] = ".";
    const char *slash = strrchr(path, '/');
    if (slash != NULL) {
        size_t length = slash == path ? 1 : (size_t)(slash - path);
        if (length >= sizeof folder) {
            fs_complain("cannot write '%s': the name is too long", path);
            return false;
        }
        memcpy(folder, path, length);
        folder[length] = '\0';
    }
    if (stat(folder, &status) != 0 || !S_ISDIR(status.st_mode)) {
        fs_complain("cannot write '%s': there is no folder '%s'; make it first", path, folder);
        return false;
    }
    if (access(folder, W_OK | X_OK) != 0) {
        fs_complain("cannot write '%s': folder '%s': %s", path, folder, strerror(errno));
        return false;
    }
    return true;
}

bool fs_folder_make(const char *path) {
    char part[4096];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part) {
        fs_complain("cannot make the folder '%s': the name is %s", path, length == 0 ? "empty" : "too long");
        return false;
    }
    memcpy(part, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (part[i] != '/' && part[i] != '\0') continue;
        char kept = part[i];
        part[i] = '\0';
        struct stat status;
        if (mkdir(part, 0777) != 0 && (errno != EEXIST || stat(part, &status) != 0 || !S_ISDIR(status.st_mode))) {
            fs_complain("cannot make the folder '%s': %s", part,
                        errno == EEXIST ? "a file has that name" : strerror(errno));
            return false;
        }
        part[i] = kept;
    }
    if (access(path, W_OK | X_OK) != 0) {
        fs_complain("cannot write into the folder '%s': %s", path, strerror(errno));
        return false;
    }
    return true;
}

bool fs_text_write(const char *path, const char *text, size_t length) {
    fflush(stdout); // "/dev/stdout" is written past stdio
    // main() complains of standard output, once.
    if (strcmp(path, "-") == 0) return fwrite(text, 1, length, stdout) == length && fflush(stdout) == 0;
    const fs_part part = {text, length};
    if (fs_write_whole(path, &part, 1) == FS_OK) return true;
    fs_complain("%s", fs_error_text());
    return false;
}
