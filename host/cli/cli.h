// What the verbs of the command share: exit codes, messages, file checks, the common options and opening a model.
#ifndef FS_CLI_H
#define FS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/cli/options.h"
#include <fastscnn/fastscnn.h>

#ifndef FS_COMMIT
#define FS_COMMIT "unknown"
#endif

// The contract with scripts. 2 means that the command line is wrong whatever the files and the machine are.
enum { FS_EXIT_OK = 0, FS_EXIT_FAILED = 1, FS_EXIT_USAGE = 2 };

// The verbs; argv[0] is the verb's name. Each returns an exit code.
int fs_verb_segment(int argc, char **argv);
int fs_verb_eval(int argc, char **argv);
int fs_verb_bench(int argc, char **argv);
int fs_verb_calibrate(int argc, char **argv);
int fs_verb_profile(int argc, char **argv);
int fs_verb_plan(int argc, char **argv);
int fs_verb_scene(int argc, char **argv);
int fs_verb_info(int argc, char **argv);
int fs_verb_doctor(int argc, char **argv);

// ---- Messages and time ----------------------------------------------------------------------------------------------

// One line on stderr, "fastscnn: ...".
void fs_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
// The same with a pointer to the verb's help; returns FS_EXIT_USAGE.
int fs_usage(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Parses a verb's options and prints what there is to print. True: go on from argv[*operand]; false: end with
// *exit_code.
bool fs_cli_parse(const fs_command *command, int argc, char **argv, int *operand, int *exit_code);
// Monotonic seconds.
double fs_seconds(void);
// "4.4 MB" (decimal units) into `text`, which is returned.
const char *fs_bytes_text(uint64_t bytes, char text[32]);

// ---- Files ----------------------------------------------------------------------------------------------------------

// Whether `path` can probably be written: it is no folder, and its folder exists and is writable. Complains if not.
bool fs_output_check(const char *path);
// Makes a folder and its parents; fine when it exists. Complains on failure.
bool fs_folder_make(const char *path);
// Writes a text file whole or not at all. Complains on failure, but of standard output ("-"), as main() does.
bool fs_text_write(const char *path, const char *text, size_t length);
// Whether the name ends in `ending`, any case.
bool fs_name_ends(const char *path, const char *ending);

// ---- Model ----------------------------------------------------------------------------------------------------------

typedef struct fs_setup {
    const char *weights; // NULL: the bundled model
    const char *disable_fusion;
    int backend;   // fscnn_backend
    int precision; // fscnn_precision
    int kernels;   // index into fs_kernels_names
    int threads;   // 0: one per core
} fs_setup;

enum { FS_SETUP_OPTIONS = 6 };
// The options that fill a setup, for the verb's command.
void fs_setup_options(fs_setup *setup, fs_option options[FS_SETUP_OPTIONS]);

extern const char *const fs_backend_names[];   // NULL-terminated, indexed by fscnn_backend
extern const char *const fs_precision_names[]; // NULL-terminated, indexed by fscnn_precision
extern const char *const fs_kernels_names[];   // NULL-terminated

// Path of the bundled model, or NULL when none is found; static storage.
const char *fs_bundled_weights(void);

typedef struct fs_model_open {
    fscnn_engine *engine;
    fscnn_engine_info info;
    char weights[4096]; // what was opened
} fs_model_open;

// Opens the engine that the setup asks for. Without weights: the bundled model, else random weights and a note when
// `random` is true, else a complaint. Returns an exit code; on FS_EXIT_OK close the engine with fscnn_engine_close.
int fs_setup_open(const fs_setup *setup, const char *verb, bool random, fs_model_open *model);
// Opens a session and fills its info; complains on failure. Returns an exit code.
int fs_setup_session(const fs_setup *setup, fscnn_engine *engine, int height, int width, int in_flight, int tune,
                     fscnn_session **session, fscnn_session_info *info);

#endif
