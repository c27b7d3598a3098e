// Where the element finds the model that comes with the library.
#ifndef FS_GST_MODEL_H
#define FS_GST_MODEL_H

// Path of the bundled model: share/fastscnn/ of the tree that `plugin`, the plugin's own file (NULL: unknown), is
// installed in, else the source tree. g_free it; NULL when there is none.
char *fs_bundled_model(const char *plugin);

#endif
