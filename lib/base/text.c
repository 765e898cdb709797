#include "base/text.h"

#include <locale.h>
#include <stdlib.h>

/* Puts this thread into the C locale and returns the old locale, for leave. glibc and musl have the
 * C locale ready, so this takes no memory. */
static locale_t enter(void) { return uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0)); }
static void leave(locale_t before) { uselocale(before); }

int vae_text_v(char *text, size_t room, const char *format, va_list args)
{
	locale_t before = enter();
	int n = vsnprintf(text, room, format, args);
	leave(before);
	return n;
}

int vae_text(char *text, size_t room, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vae_text_v(text, room, format, args);
	va_end(args);
	return n;
}

int vae_text_write(FILE *file, const char *format, ...)
{
	locale_t before = enter();
	va_list args;
	va_start(args, format);
	int n = vfprintf(file, format, args);
	va_end(args);
	leave(before);
	return n;
}

double vae_text_real(const char *text, char **end)
{
	locale_t before = enter();
	double value = strtod(text, end);
	leave(before);
	return value;
}
