/* Loaded before the C library: counts the operations on files of a workspace, and lets one of them go wrong. It can also
   keep a journal of what changed and of what was synced, from which a loss of power is made up (power.py).

   Whatever a process does to files passes through here: Python, Parquet's C++, threads. Outside the watched folder
   nothing changes. The plan is set from Python by faults_plan; without one this only hands on. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OK, FAIL, SHORT, KILL_BEFORE, KILL_AFTER };
#define MAX_FD 65536

static char watched[PATH_MAX];
static size_t watched_length;
static atomic_int counter;
static int planned_at, planned_how, planned_errno, planned_stays, trace_fd = -1;
static char of_interest[MAX_FD]; /* open files of the watched folder */
static char can_write[MAX_FD];

/* how: FAIL with an errno, SHORT (half of a write arrives), KILL_BEFORE, KILL_AFTER; stays: every later operation that
   writes fails too, as on a full disk. Operation number at, from 1; 0 for none. Each operation is a line in trace. */
void faults_plan(const char *folder, int at, int how, int number, int stays, int trace) {
    snprintf(watched, sizeof watched, "%s", folder);
    watched_length = strlen(watched);
    planned_at = at, planned_how = how, planned_errno = number, planned_stays = stays, trace_fd = trace;
    atomic_store(&counter, 0);
}

static int journal_fd = -1;
static char attic[PATH_MAX];

/* From now on every change is a line in the file: what, the inode, and the names. Files that are removed or replaced get
   a second name in the attic, outside of the watched folder and on the same disk: a loss of power may bring them back. */
void faults_journal(int journal, const char *folder) {
    journal_fd = journal;
    snprintf(attic, sizeof attic, "%s", folder);
}

static ssize_t plain_write(int fd, const void *data, size_t size) {
    static ssize_t (*original)(int, const void *, size_t);
    if (!original) original = dlsym(RTLD_NEXT, "write");
    return original(fd, data, size);
}

static int inside(const char *path) {
    return watched_length && path && !strncmp(path, watched, watched_length) &&
           (path[watched_length] == '/' || !path[watched_length]);
}

static const char *place(int folder, const char *path, char *buffer) {
    char link[64];
    ssize_t length;
    if (!watched_length || !path || path[0] == '/' || folder == AT_FDCWD) return path;
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    length = readlink(link, buffer, PATH_MAX - 300);
    if (length < 0) return path;
    snprintf(buffer + length, 300, "/%s", path);
    return buffer;
}

/* One line, in one write, so that threads do not mix. */
static void noted(const char *what, unsigned long inode, const char *one, const char *two) {
    char line[2 * PATH_MAX + 64];
    int kept = errno;
    if (journal_fd < 0) return;
    plain_write(journal_fd, line, snprintf(line, sizeof line, "%s\t%lu\t%s\t%s\n", what, inode, one, two));
    errno = kept;
}

static void noted_file(const char *what, int fd, const char *path) {
    struct stat found;
    static int (*original)(int, struct stat *);
    if (journal_fd < 0) return;
    if (!original) original = dlsym(RTLD_NEXT, "fstat");
    if (!original(fd, &found)) noted(what, found.st_ino, path, "");
}

/* The file that is about to lose this name stays in the attic under the number of its inode. */
static void keep(const char *path) {
    struct stat found;
    char there[PATH_MAX + 32];
    int kept = errno;
    static int (*original)(const char *, struct stat *);
    static int (*linked)(const char *, const char *);
    if (journal_fd < 0 || !inside(path)) return;
    if (!original) original = dlsym(RTLD_NEXT, "lstat");
    if (!linked) linked = dlsym(RTLD_NEXT, "link");
    if (!original(path, &found) && S_ISREG(found.st_mode)) {
        snprintf(there, sizeof there, "%s/%lu", attic, (unsigned long)found.st_ino);
        linked(path, there);
    }
    errno = kept;
}

static const char *name_of(int fd, char *buffer) {
    char link[64];
    ssize_t length;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, buffer, PATH_MAX - 1);
    buffer[length < 0 ? 0 : length] = 0;
    return buffer;
}

static int interesting(int fd) { return watched_length && fd >= 0 && fd < MAX_FD && of_interest[fd]; }

/* What happens to this operation. */
static int turn(const char *what, const char *path, int writes) {
    int number = atomic_fetch_add(&counter, 1) + 1;
    int hit = planned_at && (number == planned_at || (planned_stays && writes && number > planned_at));
    char line[PATH_MAX + 64];
    if (trace_fd >= 0 && (!planned_at || number == planned_at)) {
        int length = snprintf(line, sizeof line, "%d\t%s\t%d\t%s\n", number, what, writes, path);
        plain_write(trace_fd, line, length);
    }
    if (!hit) return OK;
    if (planned_how == KILL_BEFORE) kill(getpid(), SIGKILL);
    if (planned_how == FAIL) errno = planned_errno;
    return planned_how;
}

static void after(int how) {
    if (how == KILL_AFTER) kill(getpid(), SIGKILL);
}

#define ORIGINAL(type, name, ...)              \
    static type (*original)(__VA_ARGS__);      \
    if (!original) original = dlsym(RTLD_NEXT, #name);

static int opened(int fd, const char *path, int flags) {
    if (fd >= 0 && fd < MAX_FD) {
        of_interest[fd] = inside(path);
        can_write[fd] = (flags & O_ACCMODE) != O_RDONLY;
        if (of_interest[fd] && (can_write[fd] || flags & O_CREAT)) noted_file("open", fd, path);
    }
    return fd;
}

static int opening(const char *path, int flags) {
    if (!inside(path)) return OK;
    if ((flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT) return turn("open to write", path, 1);
    return turn(flags & O_DIRECTORY ? "open folder" : "open to read", path, 0);
}

#define MODE va_list list; mode_t mode; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list);
#define OPEN(name)                                             \
    int name(const char *path, int flags, ...) {               \
        ORIGINAL(int, name, const char *, int, ...)            \
        MODE int how = opening(path, flags), fd;               \
        if (how == FAIL) return -1;                            \
        fd = opened(original(path, flags, mode), path, flags); \
        after(how);                                            \
        return fd;                                             \
    }
OPEN(open)
OPEN(open64)
#define OPENAT(name)                                                   \
    int name(int folder, const char *path, int flags, ...) {           \
        ORIGINAL(int, name, int, const char *, int, ...)               \
        char buffer[PATH_MAX];                                         \
        const char *whole = place(folder, path, buffer);               \
        MODE int how = opening(whole, flags), fd;                      \
        if (how == FAIL) return -1;                                    \
        fd = opened(original(folder, path, flags, mode), whole, flags);\
        after(how);                                                    \
        return fd;                                                     \
    }
OPENAT(openat)
OPENAT(openat64)
#define FOPEN(name)                                                          \
    FILE *name(const char *path, const char *mode) {                         \
        ORIGINAL(FILE *, name, const char *, const char *)                   \
        int how = opening(path, mode[0] == 'r' ? O_RDONLY : O_WRONLY);       \
        if (how == FAIL) return NULL;                                        \
        FILE *file = original(path, mode);                                   \
        if (file && inside(path) && mode[0] != 'r') noted_file("open", fileno(file), path); \
        after(how);                                                          \
        return file;                                                         \
    }
FOPEN(fopen)
FOPEN(fopen64)

int close(int fd) {
    ORIGINAL(int, close, int)
    if (fd >= 0 && fd < MAX_FD) of_interest[fd] = 0;
    return original(fd);
}

#define ON_FILE(type, name, what, writes, signature, arguments, half)    \
    type name signature {                                                \
        ORIGINAL(type, name, TYPES_##name)                               \
        char buffer[PATH_MAX];                                           \
        int how = interesting(fd) ? turn(what, name_of(fd, buffer), writes) : OK; \
        type result;                                                     \
        if (how == FAIL) return -1;                                      \
        if (how == SHORT) { half; }                                      \
        result = original arguments;                                     \
        if (writes && result >= 0 && interesting(fd)) noted_file(what, fd, name_of(fd, buffer)); \
        after(how);                                                      \
        return result;                                                   \
    }
#define TYPES_read int, void *, size_t
#define TYPES_pread int, void *, size_t, off_t
#define TYPES_pread64 int, void *, size_t, off64_t
#define TYPES_write int, const void *, size_t
#define TYPES_pwrite int, const void *, size_t, off_t
#define TYPES_pwrite64 int, const void *, size_t, off64_t
#define TYPES_fsync int
#define TYPES_fdatasync int
#define TYPES_ftruncate int, off_t
#define TYPES_ftruncate64 int, off64_t
#define TYPES_fchmod int, mode_t
#define HALF size = size > 1 ? size / 2 : size
ON_FILE(ssize_t, read, "read", 0, (int fd, void *data, size_t size), (fd, data, size), HALF)
ON_FILE(ssize_t, pread, "read", 0, (int fd, void *data, size_t size, off_t at), (fd, data, size, at), HALF)
ON_FILE(ssize_t, pread64, "read", 0, (int fd, void *data, size_t size, off64_t at), (fd, data, size, at), HALF)
ON_FILE(ssize_t, write, "write", 1, (int fd, const void *data, size_t size), (fd, data, size), HALF)
ON_FILE(ssize_t, pwrite, "write", 1, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), HALF)
ON_FILE(ssize_t, pwrite64, "write", 1, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), HALF)
ON_FILE(int, fsync, "sync", 1, (int fd), (fd), )
ON_FILE(int, fdatasync, "sync", 1, (int fd), (fd), )
ON_FILE(int, ftruncate, "truncate", 1, (int fd, off_t size), (fd, size), )
ON_FILE(int, ftruncate64, "truncate", 1, (int fd, off64_t size), (fd, size), )
ON_FILE(int, fchmod, "chmod", 1, (int fd, mode_t mode), (fd, mode), )

static int copying(int from, int to) {
    char buffer[PATH_MAX];
    return interesting(to)     ? turn("copy", name_of(to, buffer), 1)
           : interesting(from) ? turn("read", name_of(from, buffer), 0)
                               : OK;
}
#define SENDFILE(name, offset)                                     \
    ssize_t name(int to, int from, offset *at, size_t size) {      \
        ORIGINAL(ssize_t, name, int, int, offset *, size_t)        \
        int how = copying(from, to);                               \
        ssize_t result;                                            \
        if (how == FAIL) return -1;                                \
        if (how == SHORT) size = size > 64 ? 64 : size;            \
        result = original(to, from, at, size);                     \
        if (result > 0 && interesting(to)) noted_file("write", to, ""); \
        after(how);                                                \
        return result;                                             \
    }
SENDFILE(sendfile, off_t)
SENDFILE(sendfile64, off64_t)

#define ON_PATH(type, failed, name, what, writes, signature, types, arguments, path, first, then) \
    type name signature {                                                    \
        ORIGINAL(type, name, types)                                          \
        char buffer[PATH_MAX];                                               \
        const char *whole = path;                                            \
        int how = inside(whole) ? turn(what, whole, writes) : OK;            \
        type result;                                                         \
        if (how == FAIL) return failed;                                      \
        if (journal_fd >= 0 && inside(whole)) { first; }                     \
        result = original arguments;                                         \
        if (journal_fd >= 0 && result == (type)0 && inside(whole)) { then; } \
        after(how);                                                          \
        return result;                                                       \
    }
#define COMMA ,
#define HERE (buffer[0] = 0, one)
#define THERE place(folder, one, buffer)
ON_PATH(int, -1, rename, "rename", 1, (const char *one, const char *two), const char * COMMA const char *, (one, two), (buffer[0] = 0, two), keep(two), noted("rename", 0, one, whole))
ON_PATH(int, -1, link, "link", 1, (const char *one, const char *two), const char * COMMA const char *, (one, two), (buffer[0] = 0, two), , noted("link", 0, one, whole))
ON_PATH(int, -1, symlink, "link", 1, (const char *one, const char *two), const char * COMMA const char *, (one, two), (buffer[0] = 0, two), , noted("symlink", 0, one, whole))
ON_PATH(int, -1, renameat, "rename", 1, (int from, const char *two, int folder, const char *one), int COMMA const char * COMMA int COMMA const char *, (from, two, folder, one), THERE, keep(whole), { char other[PATH_MAX]; noted("rename", 0, place(from, two, other), whole); })
ON_PATH(int, -1, mkdir, "mkdir", 1, (const char *one, mode_t mode), const char * COMMA mode_t, (one, mode), HERE, , noted("mkdir", 0, whole, ""))
ON_PATH(int, -1, mkdirat, "mkdir", 1, (int folder, const char *one, mode_t mode), int COMMA const char * COMMA mode_t, (folder, one, mode), THERE, , noted("mkdir", 0, whole, ""))
ON_PATH(int, -1, unlink, "unlink", 1, (const char *one), const char *, (one), HERE, keep(whole), noted("unlink", 0, whole, ""))
ON_PATH(int, -1, unlinkat, "unlink", 1, (int folder, const char *one, int flags), int COMMA const char * COMMA int, (folder, one, flags), THERE, keep(whole), noted("unlink", 0, whole, ""))
ON_PATH(int, -1, rmdir, "unlink", 1, (const char *one), const char *, (one), HERE, keep(whole), noted("unlink", 0, whole, ""))
ON_PATH(int, -1, chmod, "chmod", 1, (const char *one, mode_t mode), const char * COMMA mode_t, (one, mode), HERE, , )
ON_PATH(DIR *, NULL, opendir, "list", 0, (const char *one), const char *, (one), HERE, , )
ON_PATH(int, -1, stat, "stat", 0, (const char *one, struct stat *two), const char * COMMA struct stat *, (one, two), HERE, , )
ON_PATH(int, -1, stat64, "stat", 0, (const char *one, struct stat64 *two), const char * COMMA struct stat64 *, (one, two), HERE, , )
ON_PATH(int, -1, lstat, "stat", 0, (const char *one, struct stat *two), const char * COMMA struct stat *, (one, two), HERE, , )
ON_PATH(int, -1, lstat64, "stat", 0, (const char *one, struct stat64 *two), const char * COMMA struct stat64 *, (one, two), HERE, , )

DIR *fdopendir(int fd) {
    ORIGINAL(DIR *, fdopendir, int)
    char buffer[PATH_MAX];
    int how = interesting(fd) ? turn("list", name_of(fd, buffer), 0) : OK;
    DIR *result;
    if (how == FAIL) return NULL;
    result = original(fd);
    after(how);
    return result;
}
