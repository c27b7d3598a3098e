// The fastscnn command: picks the verb. Each verb has a file of its own.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host/cli/cli.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} verbs[] = {
    {"segment", fs_verb_segment, "label every pixel of pictures: class maps, overlays, logits"},
    {"eval", fs_verb_eval, "measure accuracy: mIoU and IoU of each class against labelled pictures"},
    {"bench", fs_verb_bench, "measure frames per second and latency"},
    {"calibrate", fs_verb_calibrate, "make a copy of a model for int8, from typical pictures"},
    {"profile", fs_verb_profile, "time each step of a frame beside its roofline"},
    {"plan", fs_verb_plan, "print what runs for one frame: steps, bytes, FLOPs, roofline"},
    {"scene", fs_verb_scene, "draw frames of a generated street with the class of every pixel"},
    {"info", fs_verb_info, "print what a model is: variant, classes, precision, memory"},
    {"doctor", fs_verb_doctor, "check this machine: backends, and what is missing"},
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static void help(FILE *file) {
    fputs("Usage: fastscnn VERB [OPTION]...\n\n"
          "Real-time semantic segmentation with Fast-SCNN: camera frame in, class map out.\n\nVerbs:\n",
          file);
    for (size_t i = 0; i < VERBS; i++) fprintf(file, "  %-9s %s\n", verbs[i].name, verbs[i].summary);
    fputs("\n  fastscnn VERB --help   options and examples of a verb; also fastscnn help VERB\n"
          "  fastscnn --version     version of the program; also -V\n\n"
          "Examples:\n"
          "  fastscnn doctor\n"
          "  fastscnn bench --size 1024x2048 --json result.json\n"
          "  fastscnn segment street.jpg --weights model.safetensors --overlay out.png\n\n"
          "Exit codes: 0 fine, 1 failed, 2 bad usage.\n",
          file);
}

// argv[0] is the verb.
static int dispatch(int argc, char **argv) {
    for (size_t i = 0; i < VERBS; i++)
        if (strcmp(argv[0], verbs[i].name) == 0) return verbs[i].run(argc, argv);
    fprintf(stderr, "fastscnn: unknown %s '%s'; the verbs are:", argv[0][0] == '-' ? "option" : "verb", argv[0]);
    for (size_t i = 0; i < VERBS; i++) fprintf(stderr, "%s %s", i == 0 ? "" : ",", verbs[i].name);
    fputs("; see 'fastscnn --help'\n", stderr);
    return FS_EXIT_USAGE;
}

static int run(int argc, char **argv) {
    if (argc < 2) {
        help(stderr);
        return FS_EXIT_USAGE;
    }
    const char *verb = argv[1];
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0) {
        help(stdout);
        return FS_EXIT_OK;
    }
    if (strcmp(verb, "help") == 0 && argc <= 3) {
        if (argc == 2) {
            help(stdout);
            return FS_EXIT_OK;
        }
        char word[] = "--help", *words[] = {argv[2], word, NULL};
        if (argv[2][0] != '-' && strcmp(argv[2], "help") != 0) return dispatch(2, words);
    }
    if (strcmp(verb, "--version") == 0 || strcmp(verb, "-V") == 0) {
        printf("fastscnn %s", fscnn_version_string());
        if (strcmp(FS_COMMIT, "unknown") != 0) printf(" (%s)", FS_COMMIT);
        putchar('\n');
        return FS_EXIT_OK;
    }
    return dispatch(argc - 1, argv + 1);
}

int main(int argc, char **argv) {
    int code = run(argc, argv);
    bool lost = ferror(stdout) != 0;
    if (fflush(stdout) != 0 || lost) {
        fs_complain("cannot write to standard output%s%s", errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
        if (code == FS_EXIT_OK) code = FS_EXIT_FAILED;
    }
    return code;
}
