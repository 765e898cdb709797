/* foreign.h - recognises files that no program of the suite reads, by their first bytes. */
#ifndef VAE_TOOLS_FOREIGN_H
#define VAE_TOOLS_FOREIGN_H

#include <stddef.h>

#define FOREIGN_BYTES 16 /* bytes that are examined */

/* Returns the kind of a file that begins with these bytes, and the program that converts it, as
 * half a sentence in a constant string; NULL if it is unknown. */
const char *foreign_kind(const unsigned char *start, size_t bytes);

#endif
