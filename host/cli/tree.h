// Reads a JSON file that this command wrote, as a tree of values in one array.
#ifndef FS_CLI_TREE_H
#define FS_CLI_TREE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum fs_tree_kind {
    FS_TREE_NULL,
    FS_TREE_FALSE,
    FS_TREE_TRUE,
    FS_TREE_NUMBER,
    FS_TREE_TEXT,
    FS_TREE_ARRAY,
    FS_TREE_OBJECT
} fs_tree_kind;

typedef struct fs_tree_value {
    fs_tree_kind kind;
    const char *key;  // of a member of an object, else NULL
    const char *text; // FS_TREE_TEXT: UTF-8
    double number;    // FS_TREE_NUMBER
    size_t count;     // members of an object or array
    size_t size;      // values in this one's subtree, itself included: the next sibling is `this + size`
} fs_tree_value;

typedef struct fs_tree {
    char *source;         // owned; keys and texts point into it
    fs_tree_value *value; // [count], owned: the root, then its members, each followed by its own
    size_t count, capacity;
} fs_tree; // zero-initialise

// Reads a whole file of strict JSON, up to 1 GiB and 32 levels. Complains with the name and the byte; false then, and
// the tree stays empty.
bool fs_tree_read(const char *path, fs_tree *tree);
// The same for text in memory, which is copied; `name` is for the complaint.
bool fs_tree_parse(const char *name, const char *text, size_t length, fs_tree *tree);
void fs_tree_free(fs_tree *tree);

// The member of an object, the first of its name; NULL when there is none, or `object` is NULL or no object. A dot in
// the name goes one level down.
const fs_tree_value *fs_tree_get(const fs_tree_value *object, const char *name);
// The member's text or number, if it is one.
const char *fs_tree_text(const fs_tree_value *object, const char *name); // NULL if not
bool fs_tree_number(const fs_tree_value *object, const char *name, double *number);

#endif
