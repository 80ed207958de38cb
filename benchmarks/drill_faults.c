/* Loaded before the C library (LD_PRELOAD): counts every step by which a process changes files below a folder,
 * its libraries' (SQLite's, libsndfile's) too, and makes one of them fail, or the process die at it.
 *
 * The page that says which step and how is shared by the drill and all processes it watches; see drill_faults.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NONE, KILL, FULL, BROKEN, READ_ONLY, SLOW };
static volatile struct page { int64_t steps, at, kind, slow_us; double clock; char root[472], at_what[512]; } *page;

__attribute__((constructor)) static void start(void) {
    const char *name = getenv("HUMTUNE_DRILL_PAGE");
    int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared != MAP_FAILED) page = shared;
}

/* Whether a path, or what a descriptor stands for, lies below the folder that is watched. */
static int watched(int folder, const char *path) {
    char link[64], base[4096];
    if (!page || !page->root[0]) return 0;
    size_t length = strlen((const char *)page->root);
    if (path && path[0] == '/') return !strncmp(path, (const char *)page->root, length);
    if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t size = readlink(link, base, sizeof base);
    return size >= (ssize_t)length && !memcmp(base, (const char *)page->root, length);
}

/* Count a step; the error it fails with, or 0. `frees`: it gives room back, which a full disk lets pass;
 * `data`: it is a write, which a kill may tear: -1 says that half of it is to be written first. */
static int step(const char *name, int folder, const char *path, int frees, int data) {
    char link[64], file[400] = "";
    int64_t now = __sync_add_and_fetch(&page->steps, 1);
    if (page->kind == SLOW) usleep(page->slow_us);
    if (!page->at || now < page->at) return 0;
    if (now == page->at) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        if (!path && readlink(link, file, sizeof file - 1) > 0) path = file;
        snprintf((char *)page->at_what, sizeof page->at_what, "%s %s", name, path ? path : "?");
    }
    switch (page->kind) {
    case KILL: if (now > page->at) return 0; if (data) return -1; kill(getpid(), SIGKILL); pause(); return 0;
    case FULL: return frees ? 0 : ENOSPC;
    case READ_ONLY: return EROFS;
    case BROKEN: return now == page->at ? EIO : 0;
    }
    return 0;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define FAIL_IF(name, folder, path, is_watched, frees) do { \
        int e_; \
        if ((is_watched) && (e_ = step(name, folder, path, frees, 0))) { errno = e_; return -1; } \
    } while (0)
#define CHANGES (O_CREAT | O_TRUNC)

#define OPENS(name, folder, parameters, arguments) \
    int name parameters { \
        mode_t mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { va_list r; va_start(r, flags); mode = va_arg(r, mode_t); va_end(r); } \
        REAL(name); \
        FAIL_IF(#name, folder, path, (flags & CHANGES) && watched(folder, path), 0); \
        return real arguments; \
    }
OPENS(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPENS(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPENS(openat, folder, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
OPENS(openat64, folder, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))

#define CHANGE(name, parameters, arguments, folder, path, is_watched, frees) \
    int name parameters { REAL(name); FAIL_IF(#name, folder, path, is_watched, frees); return real arguments; }
CHANGE(rename, (const char *a, const char *b), (a, b), AT_FDCWD, a, watched(AT_FDCWD, a) || watched(AT_FDCWD, b), 1)
CHANGE(renameat, (int f, const char *a, int g, const char *b), (f, a, g, b), f, a, watched(f, a) || watched(g, b), 1)
CHANGE(renameat2, (int f, const char *a, int g, const char *b, unsigned how), (f, a, g, b, how), f, a, watched(f, a) || watched(g, b), 1)
CHANGE(link, (const char *a, const char *b), (a, b), AT_FDCWD, a, watched(AT_FDCWD, b), 0)
CHANGE(linkat, (int f, const char *a, int g, const char *b, int how), (f, a, g, b, how), f, a, watched(g, b), 0)
CHANGE(unlink, (const char *a), (a), AT_FDCWD, a, watched(AT_FDCWD, a), 1)
CHANGE(unlinkat, (int f, const char *a, int how), (f, a, how), f, a, watched(f, a), 1)
CHANGE(rmdir, (const char *a), (a), AT_FDCWD, a, watched(AT_FDCWD, a), 1)
CHANGE(mkdir, (const char *a, mode_t mode), (a, mode), AT_FDCWD, a, watched(AT_FDCWD, a), 0)
CHANGE(mkdirat, (int f, const char *a, mode_t mode), (f, a, mode), f, a, watched(f, a), 0)
CHANGE(ftruncate, (int f, off_t size), (f, size), f, 0, watched(f, 0), 1)
CHANGE(ftruncate64, (int f, off64_t size), (f, size), f, 0, watched(f, 0), 1)
CHANGE(fsync, (int f), (f), f, 0, watched(f, 0), 1)
CHANGE(fdatasync, (int f), (f), f, 0, watched(f, 0), 1)

/* A write; one at which the process dies leaves half of its bytes behind. */
#define WRITES(name, parameters, arguments, half) \
    ssize_t name parameters { \
        REAL(name); \
        if (watched(file, 0)) { \
            int failed = step(#name, file, 0, 0, 1); \
            if (failed < 0) { if (half) {} kill(getpid(), SIGKILL); pause(); } \
            if (failed > 0) { errno = failed; return -1; } \
        } \
        return real arguments; \
    }
WRITES(write, (int file, const void *data, size_t size), (file, data, size), real(file, data, size / 2) >= 0)
WRITES(pwrite, (int file, const void *data, size_t size, off_t at), (file, data, size, at), real(file, data, size / 2, at) >= 0)
WRITES(pwrite64, (int file, const void *data, size_t size, off64_t at), (file, data, size, at), real(file, data, size / 2, at) >= 0)
WRITES(writev, (int file, const struct iovec *parts, int count), (file, parts, count), real(file, parts, count / 2) >= 0)
WRITES(sendfile, (int file, int from, off_t *at, size_t size), (file, from, at, size), real(file, from, at, size / 2) >= 0)
WRITES(sendfile64, (int file, int from, off64_t *at, size_t size), (file, from, at, size), real(file, from, at, size / 2) >= 0)
