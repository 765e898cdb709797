/* tap.h - the Test Anything Protocol: ok(condition, "what") ..., then return tap_done(). */
#ifndef TAP_H
#define TAP_H

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 2, 3), unused)) static int ok(int good, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("%sok %d - ", good ? "" : "not ", ++tap_count);
	vprintf(format, args);
	printf("\n");
	va_end(args);
	tap_failed += !good;
	return good;
}

/* Raises *worst to an error that is larger. NaN counts as infinity, where fmax would drop it. */
static inline void worsen(double *worst, double error)
{
	if (!(error <= *worst))
		*worst = isnan(error) ? INFINITY : error;
}

/* Reports a check that is skipped because this CPU lacks an instruction set (tests/skips.sh lists
 * those). */
static inline void tap_lacks(const char *what, const char *isa)
{
	printf("ok %d - %s # SKIP CPU without %s\n", ++tap_count, what, isa);
}

static inline int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed != 0;
}

#endif
