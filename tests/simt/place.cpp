// Asks addr2line, which reads the debug information of the program or library that an address belongs to.
#include "tests/simt/place.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>

namespace simt {

Text place_text(const void *caller) {
    Text result;
    snprintf(result.text, sizeof result.text, "%p", caller);
    Dl_info object;
    if (!dladdr(caller, &object) || !object.dli_fbase) return result;

    auto address = reinterpret_cast<uintptr_t>(caller) - 1; // inside the call
    if (static_cast<const Elf64_Ehdr *>(object.dli_fbase)->e_type == ET_DYN)
        address -= reinterpret_cast<uintptr_t>(object.dli_fbase);
    char command[512], line[512];
    snprintf(command, sizeof command, "addr2line -i -e '%s' 0x%zx 2>/dev/null", object.dli_fname,
             static_cast<size_t>(address));
    FILE *pipe = popen(command, "r");
    if (!pipe) return result;
    size_t length = 0;
    while (fgets(line, sizeof line, pipe)) {
        line[strcspn(line, " \n")] = 0;
        if (strstr(line, "tests/simt/entry.h") || length + strlen(line) + 16 > sizeof result.text) continue;
        length += static_cast<size_t>(
            snprintf(result.text + length, sizeof result.text - length, "%s%s", length ? " inlined at " : "", line));
    }
    pclose(pipe);
    return result;
}

Text site_text(const Site &site) {
    if (site.caller) return place_text(site.caller);
    Text result;
    snprintf(result.text, sizeof result.text, "%s:%d", site.file, site.line);
    return result;
}

} // namespace simt
