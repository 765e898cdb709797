/* shim.c - preloaded into a program, makes the system fail. Environment:
 *
 *     FAULT_ALLOCATION=N   the N-th allocation fails (from 1);  N+: and all later ones
 *     FAULT_COUNT=FILE     writes the number of allocations there at the end
 *     FAULT_ALARM=MICROS   SIGALRM at this interval; its handler interrupts system calls
 *     FAULT_NAMELESS=1     the file systems have no nameless files (O_TMPFILE)
 *     FAULT_SYNC=1         no file can be flushed to its disk (fsync) */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static void *(*real_malloc)(size_t), *(*real_calloc)(size_t, size_t),
	*(*real_realloc)(void *, size_t), *(*real_aligned)(size_t, size_t);
static int (*real_posix)(void **, size_t, size_t);
static void (*real_free)(void *);
static bool ready, onwards; /* ready: since main began */
static atomic_long count;
static long chosen;

/* dlsym may allocate before it has found malloc. */
static char early[65536];
static size_t early_used;

static void *early_alloc(size_t size)
{
	size_t at = (early_used + 63) / 64 * 64;
	if (size > sizeof early || at > sizeof early - size)
		_exit(99);
	early_used = at + size;
	return early + at;
}

static bool is_early(const void *p)
{
	return (const char *)p >= early && (const char *)p < early + sizeof early;
}

static void find(void)
{
	static bool searching;
	if (real_free || searching)
		return;
	searching = true;
	*(void **)&real_malloc = dlsym(RTLD_NEXT, "malloc");
	*(void **)&real_calloc = dlsym(RTLD_NEXT, "calloc");
	*(void **)&real_realloc = dlsym(RTLD_NEXT, "realloc");
	*(void **)&real_aligned = dlsym(RTLD_NEXT, "aligned_alloc");
	*(void **)&real_posix = dlsym(RTLD_NEXT, "posix_memalign");
	*(void **)&real_free = dlsym(RTLD_NEXT, "free");
	searching = false;
}

static bool fails(void)
{
	if (!ready)
		return false;
	long number = ++count;
	if (!chosen || number < chosen || (number > chosen && !onwards))
		return false;
	errno = ENOMEM;
	return true;
}

/* libjansson (2.14) does not check whether the buffer of a word could grow, and writes past its
 * end: not our fault, and it cannot be prevented from outside. Such a buffer has a power of two
 * bytes. */
static bool is_word_of_jansson(const void *caller, size_t size)
{
	Dl_info info;
	return size >= 32 && !(size & (size - 1)) && dladdr(caller, &info) && info.dli_fname &&
	       strstr(info.dli_fname, "libjansson");
}

void *malloc(size_t size)
{
	find();
	return !real_malloc                                                        ? early_alloc(size)
	       : !is_word_of_jansson(__builtin_return_address(0), size) && fails() ? NULL
	                                                                           : real_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	find();
	return !real_calloc ? early_alloc(n * size) : fails() ? NULL : real_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	find();
	if (is_early(p)) { /* copies the bytes behind it, too: they are all ours */
		void *new = malloc(size);
		size_t room = (size_t)(early + sizeof early - (char *)p);
		return new ? memcpy(new, p, size < room ? size : room) : NULL;
	}
	return fails() ? NULL : real_realloc(p, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	find();
	return fails() ? NULL : real_aligned(align, size);
}

int posix_memalign(void **p, size_t align, size_t size)
{
	find();
	return fails() ? ENOMEM : real_posix(p, align, size);
}

void free(void *p)
{
	find();
	if (!is_early(p) && real_free)
		real_free(p);
}

int open(const char *path, int flags, ...)
{
	static int (*real_open)(const char *, int, ...);
	va_list arguments;
	va_start(arguments, flags);
	int mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, int) : 0;
	va_end(arguments);
	if (!real_open)
		*(void **)&real_open = dlsym(RTLD_NEXT, "open");
	if ((flags & O_TMPFILE) == O_TMPFILE && getenv("FAULT_NAMELESS")) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return real_open(path, flags, mode);
}

int fsync(int fd)
{
	static int (*real_fsync)(int);
	if (!real_fsync)
		*(void **)&real_fsync = dlsym(RTLD_NEXT, "fsync");
	if (getenv("FAULT_SYNC")) {
		errno = EIO;
		return -1;
	}
	return real_fsync(fd);
}

static void on_alarm(int number) { (void)number; }

static void __attribute__((constructor)) start(void)
{
	const char *which = getenv("FAULT_ALLOCATION"), *micros = getenv("FAULT_ALARM");
	find();
	if (which) {
		chosen = atol(which);
		onwards = strchr(which, '+') != NULL;
	}
	if (micros) {
		struct itimerval often = {{0, atol(micros)}, {0, atol(micros)}};
		sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL);
		setitimer(ITIMER_REAL, &often, NULL);
	}
	ready = true;
}

static void __attribute__((destructor)) stop(void)
{
	const char *path = getenv("FAULT_COUNT");
	char text[32];
	ready = false;
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666) : -1,
		n = snprintf(text, sizeof text, "%ld\n", (long)count);
	if (fd >= 0 && write(fd, text, (size_t)n) == n)
		close(fd);
}
