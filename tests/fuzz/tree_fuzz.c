// libFuzzer target: any bytes as a result that bench --compare reads.
#include <stdio.h>
#include <stdlib.h>

#include "host/cli/tree.h"
#include "runtime/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Each member lies behind the one before it, and its size is that of what it holds. Touches every text.
static size_t walk(const fs_tree_value *value, size_t *letters) {
    size_t size = 1;
    if (value->kind == FS_TREE_TEXT)
        for (const char *c = value->text; *c != '\0'; c++) ++*letters;
    if (value->kind == FS_TREE_ARRAY || value->kind == FS_TREE_OBJECT) {
        for (size_t i = 0; i < value->count; i++) {
            const fs_tree_value *member = value + size;
            if ((member->key != NULL) != (value->kind == FS_TREE_OBJECT)) abort();
            const fs_tree_value *found = member->key != NULL ? fs_tree_get(value, member->key) : NULL;
            if (found != NULL && (found <= value || found >= value + value->size)) abort();
            size += walk(member, letters);
        }
    }
    if (size != value->size) abort();
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static FILE *quiet; // complaints would fill the log
    if (quiet == NULL) quiet = freopen("/dev/null", "w", stderr);
    fs_tree tree = {0};
    size_t letters = 0;
    if (fs_tree_parse("fuzz", (const char *)data, size, &tree)) {
        if (tree.count == 0 || walk(tree.value, &letters) != tree.count || letters > size) abort();
        fs_tree_free(&tree);
    }
    if (tree.source != NULL || tree.value != NULL || fs_mem_live_blocks() != 0) abort();
    return 0;
}
