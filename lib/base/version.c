#include "base/error.h"

const char *vae_version(void) { return VAE_VERSION; }
