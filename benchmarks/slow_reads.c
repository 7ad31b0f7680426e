/* Makes storage slow: loaded by LD_PRELOAD, it waits before files below a folder are read.

   SLOW_READS_FOLDER  the folder, an absolute path
   SLOW_READS_MS      milliseconds of a wait

   Image files wait once, when they are opened, as on network storage. Shards of a pack, which stay
   open, wait at every read at a place. Everything else goes on as ever. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#define MOST_FILES 65536
static char is_shard[MOST_FILES]; /* by file descriptor */

static void wait_for_storage(void) {
    const char *text = getenv("SLOW_READS_MS");
    long microseconds = text ? (long)(1000 * atof(text)) : 0;
    struct timespec left = {microseconds / 1000000, microseconds % 1000000 * 1000};
    while (nanosleep(&left, &left)) {
    }
}

static int opened(int (*call)(int, const char *, int, ...), int folder, const char *path, int flags,
                  mode_t mode) {
    const char *slow = getenv("SLOW_READS_FOLDER");
    int below = slow && path && !strncmp(path, slow, strlen(slow)) && !(flags & O_ACCMODE);
    int shard = below && strstr(path, ".array_record") != NULL;
    if (below && !shard && !(flags & O_DIRECTORY))
        wait_for_storage();
    int file = call(folder, path, flags, mode);
    if (file >= 0 && file < MOST_FILES)
        is_shard[file] = (char)shard;
    return file;
}

#define REAL(name) dlsym(RTLD_NEXT, name)
#define OPENING(name, real)                                                                       \
    int name(const char *path, int flags, ...) {                                                  \
        va_list rest;                                                                             \
        va_start(rest, flags);                                                                    \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                   \
        va_end(rest);                                                                             \
        return opened((int (*)(int, const char *, int, ...))REAL(real), AT_FDCWD, path, flags,    \
                      mode);                                                                      \
    }
OPENING(open, "openat")
OPENING(open64, "openat64")

#define OPENING_AT(name)                                                                          \
    int name(int folder, const char *path, int flags, ...) {                                      \
        va_list rest;                                                                             \
        va_start(rest, flags);                                                                    \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                   \
        va_end(rest);                                                                             \
        return opened((int (*)(int, const char *, int, ...))REAL(#name), folder, path, flags,     \
                      mode);                                                                      \
    }
OPENING_AT(openat)
OPENING_AT(openat64)

#define READING(name, place)                                                                      \
    ssize_t name(int file, void *buffer, size_t size, place offset) {                             \
        if (file >= 0 && file < MOST_FILES && is_shard[file])                                     \
            wait_for_storage();                                                                   \
        return ((ssize_t(*)(int, void *, size_t, place))REAL(#name))(file, buffer, size, offset); \
    }
READING(pread, off_t)
READING(pread64, off64_t)
