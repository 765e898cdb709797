/* find.c - finds a model file by name or id. Directories are searched in this order:
 *
 *     $VAE_MODEL_PATH                   (separated by colons) chosen for this command
 *     $XDG_DATA_HOME/vae-tools/models   the user's own; by default ~/.local/share/vae-tools/models
 *     EXE/../models                     the build tree; EXE is the program's directory
 *     EXE/../share/vae-tools/models     installed, even if moved after installation
 *     LIB/../models, LIB/../share/...   the same from the folder of libvae.so, for other programs
 *     VAE_MODELS                        installed, as compiled in */
#include "model/model.h"
#include "base/cpu.h"
#include "base/memory.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef VAE_MODELS
#define VAE_MODELS "/usr/local/share/vae-tools/models"
#endif
#define SUFFIX          ".safetensors"
#define MAX_DIRECTORIES 64

struct path {
	int count;
	char *directory[MAX_DIRECTORIES]; /* owned */
};

static void path_clear(struct path *p)
{
	for (int i = 0; i < p->count; i++)
		free(p->directory[i]);
}

/* Adds a directory, its name joined from two parts, unless it is on the path already or a part is
 * missing. */
static int path_add(struct path *p, const char *head, size_t head_bytes, const char *tail,
                    struct vae_error *error)
{
	char *name;
	if (!head || head_bytes == 0 || p->count == MAX_DIRECTORIES)
		return 0;
	if (asprintf(&name, "%.*s%s", (int)head_bytes, head, tail) < 0)
		return vae_fail(error, VAE_EMEM, "out of memory");
	for (int i = 0; i < p->count; i++)
		if (!strcmp(p->directory[i], name)) {
			free(name);
			return 0;
		}
	p->directory[p->count++] = name;
	return 0;
}

/* Cuts two names off the end of a path. */
static void go_up_twice(char *path)
{
	for (int up = 0; up < 2; up++) {
		char *slash = strrchr(path, '/');
		if (slash)
			*slash = 0;
	}
}

/* Stores the directory above the program's own, or "" if the system does not tell. */
static void program_prefix(char prefix[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", prefix, PATH_MAX - 1);
	prefix[n > 0 ? n : 0] = 0;
	go_up_twice(prefix);
}

/* Stores the directory above that of the shared library, or "" if it was loaded by a relative path,
 * which says nothing once the working directory has changed. */
static void library_prefix(char prefix[PATH_MAX])
{
	static const char here = 0;
	Dl_info info;
	if (dladdr(&here, &info) && info.dli_fname && *info.dli_fname == '/' &&
	    realpath(info.dli_fname, prefix))
		go_up_twice(prefix);
	else
		*prefix = 0;
}

static const char *absolute_env(const char *name)
{
	const char *value = getenv(name);
	return value && *value == '/' ? value
	                              : NULL; /* the XDG specification says to ignore relative paths */
}

static int path_init(struct path *p, struct vae_error *error)
{
	char prefix[PATH_MAX], library[PATH_MAX];
	const char *list = getenv("VAE_MODEL_PATH"), *data = absolute_env("XDG_DATA_HOME"),
			   *home = absolute_env("HOME");
	p->count = 0;
	program_prefix(prefix);
	library_prefix(library);
	for (size_t n; list && *list; list += n + (list[n] == ':')) {
		n = strcspn(list, ":");
		if (path_add(p, list, n, "", error))
			return VAE_EMEM;
	}
	if (path_add(p, data, data ? strlen(data) : 0, "/vae-tools/models", error) ||
	    (!data &&
	     path_add(p, home, home ? strlen(home) : 0, "/.local/share/vae-tools/models", error)) ||
	    path_add(p, prefix, strlen(prefix), "/models", error) ||
	    path_add(p, prefix, strlen(prefix), "/share/vae-tools/models", error) ||
	    path_add(p, library, strlen(library), "/models", error) ||
	    path_add(p, library, strlen(library), "/share/vae-tools/models", error) ||
	    path_add(p, VAE_MODELS, strlen(VAE_MODELS), "", error))
		return VAE_EMEM;
	return 0;
}

/* Formats "A, B, C" for messages, cut if it is too long. */
static void path_text(const struct path *p, char *text, size_t room)
{
	size_t n = 0;
	*text = 0;
	for (int i = 0; i < p->count && n < room; i++)
		n += (size_t)snprintf(text + n, room - n, "%s%s", i ? ", " : "", p->directory[i]);
	if (n >= room)
		strcpy(text + room - 4, "...");
}

static bool is_regular(const char *file)
{
	struct stat st;
	return !stat(file, &st) && S_ISREG(st.st_mode);
}

/* ---- by name --------------------------------------------------------------------------------- */

/* Returns N of a file NAME-N.safetensors, a decimal number without leading zeros, or -1. */
static long version_of(const char *file, const char *name)
{
	size_t n = strlen(name);
	if (strncmp(file, name, n) || file[n] != '-')
		return -1;
	const char *digits = file + n + 1;
	size_t length = strspn(digits, "0123456789");
	if (length == 0 || length > 9 || (length > 1 && *digits == '0') ||
	    strcmp(digits + length, SUFFIX))
		return -1;
	return strtol(digits, NULL, 10);
}

/* Sets *file to the path of NAME, or of its newest version, in one directory; NULL if there is
 * neither. Owned by the caller. */
static int look_up_name(char **file, const char *directory, const char *name,
                        struct vae_error *error)
{
	if (asprintf(file, "%s/%s" SUFFIX, directory, name) < 0) {
		*file = NULL; /* asprintf leaves it undefined */
		return vae_fail(error, VAE_EMEM, "out of memory");
	}
	if (is_regular(*file))
		return 0;
	free(*file);
	*file = NULL;
	DIR *listing = opendir(directory);
	long newest = -1;
	/* A missing directory has no models; but this one could not be read. */
	if (!listing && errno == ENOMEM)
		return vae_fail(error, VAE_EMEM, "out of memory");
	for (struct dirent *entry; listing && (entry = readdir(listing));) {
		char *candidate;
		long version = version_of(entry->d_name, name);
		if (version <= newest)
			continue;
		if (asprintf(&candidate, "%s/%s", directory, entry->d_name) < 0) {
			closedir(listing);
			return vae_fail(error, VAE_EMEM, "out of memory");
		}
		if (is_regular(candidate)) {
			free(*file);
			*file = candidate;
			newest = version;
		} else {
			free(candidate);
		}
	}
	if (listing)
		closedir(listing);
	return 0;
}

static bool is_name(const char *name)
{
	size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+");
	return n && n <= 100 && !name[n] && *name != '.';
}

/* Loads a model by its path. Such a file may have been edited: its contents must match its id, by
 * which other programs would find a different file. */
static int find_path(struct vae_model **model, const char *path, struct vae_error *error)
{
	struct vae_model *m;
	int rc = vae_model_load(&m, path, error);
	if (rc)
		return rc;
	if ((rc = vae_model_verify(m, error)))
		vae_model_free(m);
	else
		*model = m;
	return rc;
}

static int find_name(struct vae_model **model, const char *name, struct vae_error *error)
{
	struct path path;
	char *file = NULL, looked[260];
	int rc = path_init(&path, error);
	for (int i = 0; !rc && !file && i < path.count; i++)
		rc = look_up_name(&file, path.directory[i], name, error);
	if (!rc && file) {
		rc = vae_model_load(model, file, error);
		if (!rc)
			(*model)->by_path = false;
	} else if (!rc) {
		path_text(&path, looked, sizeof looked);
		rc = is_regular(name)
		         ? vae_fail(error, VAE_EMODEL,
		                    "no model '%s': a file in this directory is named by a path, ./%s",
		                    name, name)
		         : vae_fail(error, VAE_EMODEL, "no model '%s': looked in %s", name, looked);
	}
	free(file);
	path_clear(&path);
	return rc;
}

int vae_model_find(struct vae_model **model, const char *name, struct vae_error *error)
{
	if (!name) {
		name = getenv("VAE_MODEL");
		if (!name || !*name)
			name = "photo";
	}
	if (strchr(name, '/'))
		return find_path(model, name, error);
	if (!is_name(name))
		return vae_fail(error, VAE_EMODEL,
		                "'%.100s' is no model's name: letters, digits and -_.+, not starting with "
		                "a dot; a path has a '/'",
		                name);
	return find_name(model, name, error);
}

/* ---- by id ----------------------------------------------------------------------------------- */

static int is_model_file(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name), s = strlen(SUFFIX);
	return n > s && !strcmp(entry->d_name + n - s, SUFFIX);
}

static int in_byte_order(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int try_file(struct vae_model **model, uint64_t id, const char *directory, const char *name,
                    struct vae_error *error)
{
	char *file;
	if (asprintf(&file, "%s/%s", directory, name) < 0)
		return vae_fail(error, VAE_EMEM, "out of memory");
	int rc = vae_model_load_id(model, file, id, error);
	free(file);
	return rc;
}

/* Tries vae_model_load_id on all files of a directory; a damaged copy does not hide a sound one
 * after it. */
static int try_directory(struct vae_model **model, uint64_t id, const char *directory,
                         struct vae_error *error)
{
	struct dirent **entry;
	int rc = 0, count = scandir(directory, &entry, is_model_file, in_byte_order);
	if (count < 0 && errno == ENOMEM)
		return vae_fail(error, VAE_EMEM, "out of memory");
	for (int i = 0; i < count; i++) {
		int tried = rc == 1 ? 0 : try_file(model, id, directory, entry[i]->d_name, error);
		rc = tried ? tried : rc;
		free(entry[i]);
	}
	if (count >= 0)
		free(entry);
	return rc;
}

/* Tries vae_model_load_id on a path from a stream; checks the contents as find_path does. */
static int try_hint(struct vae_model **model, uint64_t id, const char *hint,
                    struct vae_error *error)
{
	struct vae_model *m;
	int rc = vae_model_load_id(&m, hint, id, error);
	if (rc != 1)
		return rc;
	if ((rc = vae_model_verify(m, error))) {
		vae_model_free(m);
		return rc;
	}
	*model = m;
	return 1;
}

int vae_model_find_id(struct vae_model **model, uint64_t id, const char *hint,
                      struct vae_error *error)
{
	struct path path;
	struct vae_error why; /* of a damaged copy; a sound one may follow */
	char looked[240];
	int failed = vae_isa_check(error), rc;
	if (failed)
		return failed;
	rc = failed = path_init(&path, &why);
	for (int i = 0; !failed && rc != 1 && i < path.count; i++) {
		int tried = try_directory(model, id, path.directory[i], &why);
		rc = tried ? tried : rc;
		if (tried == 1)
			(*model)->by_path = false;
	}
	if (!failed && rc != 1 && hint) {
		int tried = try_hint(model, id, hint, &why);
		rc = tried ? tried : rc;
	}
	if (rc == 0) {
		path_text(&path, looked, sizeof looked);
		rc = vae_fail(&why, VAE_EMODEL, "no model with the id %016llx%s: looked in %s",
		              (unsigned long long)id, hint ? ", not in the file it came from either" : "",
		              looked);
	}
	path_clear(&path);
	if (rc < 0 && error)
		*error = why;
	return rc == 1 ? 0 : rc;
}
