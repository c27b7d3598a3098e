// Which truth belongs to which picture: two folders, searched recursively, whose files are paired by their stems.
#ifndef FS_CLI_PAIRS_H
#define FS_CLI_PAIRS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct fs_pair {
    const char *in;    // picture or prediction; NULL: missing, which was complained about
    const char *truth; // the same
} fs_pair;             // both belong to the lists in fs_pairs

typedef struct fs_found fs_found;

typedef struct fs_pairs {
    fs_pair *list; // in the order of the names; owned
    size_t count;
    size_t missing; // pairs of which one half is missing
    size_t unused;  // truth maps without a picture, or predictions without a truth
    fs_found *ins, *truths;
    size_t in_count, truth_count;
} fs_pairs; // zero-initialise

typedef struct fs_pairing {
    const char *in, *truth; // folders
    bool predictions;       // `in` holds label maps: each truth must have one. Else pictures: each must have a truth
    bool cityscapes; // label ids: of truth maps named ..._labelIds and ..._labelTrainIds, the former; else the latter
} fs_pairing;

// Lists and pairs. False, with a complaint, when a folder cannot be read or has no file of its kind, or when two files
// claim one partner.
bool fs_pairs_find(const fs_pairing *pairing, fs_pairs *pairs);
void fs_pairs_free(fs_pairs *pairs);

// Length of the part of a file's name that pairs it: without extension and without what data sets and this command put
// behind a frame's name ("_leftImg8bit", "_gtFine_labelIds", "_labels"). With `frames`, a name that begins as those of
// Cityscapes do ends behind its frame number, whatever follows.
size_t fs_pair_stem(const char *name, bool frames);

#endif
