/* text.h - text that is the same under every locale. Programs that use this library may have called
 * setlocale, and some locales write 1.5 as 1,5. The library prints and reads all real numbers
 * through these functions. */
#ifndef VAE_BASE_TEXT_H
#define VAE_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

/* Work as snprintf, vsnprintf and fprintf in the C locale. */
int vae_text(char *text, size_t room, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int vae_text_v(char *text, size_t room, const char *format, va_list args)
	__attribute__((format(printf, 3, 0)));
int vae_text_write(FILE *file, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Works as strtod in the C locale. */
double vae_text_real(const char *text, char **end);

/* Work as isspace and isdigit in the C locale; c may also be EOF or a negative char. */
static inline bool vae_is_space(int c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static inline bool vae_is_digit(int c) { return c >= '0' && c <= '9'; }

#endif
