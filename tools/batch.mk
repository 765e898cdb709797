# batch.mk - pattern rules of GNU make between pictures and codes, for many files at once.
#
#     make -j4 -f /usr/local/share/vae-tools/batch.mk a.lat b.lat       (from a.png, b.jpg, ... beside them)
#     make -j4 -f /usr/local/share/vae-tools/batch.mk a.dec.png
#
# or in a makefile of your own:
#
#     VAE_QUALITY = 40
#     include /usr/local/share/vae-tools/batch.mk
#     all: $(patsubst %.png,%.lat,$(wildcard *.png))
#
# Rules:      %.lat from %.png %.jpg %.jpeg %.ppm %.pgm %.pbm %.pnm %.pam;  %.dec.png and %.dec.ppm from %.lat
#             (.dec.ppm is PNM or PAM, whatever the picture was). A target appears only when the whole pipe has succeeded.
#             Names must be without spaces, as always in make. With -j, -T 1 is the better use of the cores.
#
# Variables, to be set before the include or on make's command line:
#     VAE_QUALITY      of vae-enc, 0 to 100                     (50)
#     VAE_MODEL        name or path of the model to encode with ($VAE_MODEL of the environment, else photo)
#     VAE_FLAGS        for every program, such as -T 1          (none)
#     VAE_ENCFLAGS VAE_QUANTFLAGS VAE_DECFLAGS                  (none), such as VAE_QUANTFLAGS = --level 19
#     VAE_BINDIR       folder of the programs, with its slash   (none: PATH)
#     PNGTOPNM JPEGTOPNM PNMTOPNG                               (pngtopnm, jpegtopnm -quiet, pamtopng)
#                      PNGTOPNM = pngtopam -alphapam keeps transparency
VAE_QUALITY ?= 50
VAE_MODEL ?=
PNGTOPNM ?= pngtopnm
JPEGTOPNM ?= jpegtopnm -quiet
PNMTOPNG ?= pamtopng

vae-encode = $(VAE_BINDIR)vae-enc -q $(VAE_QUALITY) $(if $(VAE_MODEL),-m $(VAE_MODEL)) $(VAE_FLAGS) $(VAE_ENCFLAGS)
vae-pack = $(VAE_BINDIR)vae-quant $(VAE_FLAGS) $(VAE_QUANTFLAGS)
# Codes name their model: -m would refuse all of another. Only one that has no place among the others must be shown.
vae-decode = $(VAE_BINDIR)vae-dec $(if $(findstring /,$(VAE_MODEL)),-m $(VAE_MODEL)) $(VAE_FLAGS) $(VAE_DECFLAGS)
# The pipe writes beside the target, and the target takes its name last. The trap also runs when a signal ends the shell.
vae-whole = trap 'rm -f $@.tmp' EXIT; ($(1)) > $@.tmp && mv -f $@.tmp $@

# A pipe fails where any part of it does, not only the last. Only these targets get another shell than yours.
%.lat %.dec.png %.dec.ppm: private SHELL = bash
%.lat %.dec.png %.dec.ppm: private .SHELLFLAGS = -o pipefail -c

%.lat: %.png
	$(call vae-whole,$(PNGTOPNM) $< | $(vae-encode) | $(vae-pack))
%.lat: %.jpg
	$(call vae-whole,$(JPEGTOPNM) $< | $(vae-encode) | $(vae-pack))
%.lat: %.jpeg
	$(call vae-whole,$(JPEGTOPNM) $< | $(vae-encode) | $(vae-pack))
%.lat: %.ppm
	$(call vae-whole,$(vae-encode) $< | $(vae-pack))
%.lat: %.pgm
	$(call vae-whole,$(vae-encode) $< | $(vae-pack))
%.lat: %.pbm
	$(call vae-whole,$(vae-encode) $< | $(vae-pack))
%.lat: %.pnm
	$(call vae-whole,$(vae-encode) $< | $(vae-pack))
%.lat: %.pam
	$(call vae-whole,$(vae-encode) $< | $(vae-pack))

%.dec.png: %.lat
	$(call vae-whole,$(vae-decode) $< | $(PNMTOPNG))
%.dec.ppm: %.lat
	$(call vae-whole,$(vae-decode) $<)

# Codes that were made on the way to another target stay.
.PRECIOUS: %.lat
.DELETE_ON_ERROR:
