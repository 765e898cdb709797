# batch.mk - encodes many pictures, and decodes many codes, with GNU make.
#
#     make -f batch.mk -j8 summary              encode and measure all pictures of this folder: summary.tsv
#     make -f batch.mk -j8 codes                encode them only
#     make -f batch.mk -j8 a.lat b.lat          encode a.png, b.JPG, ...: any picture of that name
#     make -f batch.mk a.dec.png a.dec.ppm      decode a.lat, after it was made from its picture
#     make -f batch.mk clean                    remove all files that were made from pictures still here
#
# Pictures are PNM, PAM, PNG, JPEG, GIF, TIFF, BMP, WebP, HEIC, AVIF and JPEG XL, if a converter is
# installed (topnm --formats, beside this file, lists the converters). Transparency is kept; so are
# the colour profile, Exif and XMP if exiftool is installed; VAE_QUANTFLAGS=--strip drops them. The
# codes of a.jpg are a.lat; if a.png exists, too, they are a.jpg.lat and a.png.lat. File names may
# hold any character but a newline. As a goal of make, a name must not hold "=" or begin with a
# blank; put ./ before a name that somebody else has chosen.
#
# A file is made again when its picture, the quality, the model or the flags have changed, or with
# make -B. It appears only when it is complete. A picture that fails does not stop the others:
# summary ends with a list of failures and status 2.
#
# summary.tsv has a line for each picture: file, pixels, bytes of the picture and of the codes, bits
# a pixel, PSNR in dB (of the mean squared error over all images of the file; inf: exact), and
# quality. Pictures that were measured before and have not changed are not measured again.
#
# Variables, on the command line or before an include:
#     VAE_QUALITY      of vae-enc, 0 to 100                     (55)
#     VAE_MODEL        model to encode with: a name, or a path with a slash in it
#                      ($VAE_MODEL of the environment, else photo)
#     VAE_FLAGS        for every program; with -j, -T1 uses the cores better
#     VAE_ENCFLAGS, VAE_QUANTFLAGS, VAE_DECFLAGS
#                      for one program, such as VAE_QUANTFLAGS='--effort 5'
#     VAE_PICTURES     for summary and codes: names, or patterns of the shell
#                      (all pictures of this folder)
#     VAE_BINDIR       folder of the programs, with its slash   (none: PATH)
# Flags and VAE_PICTURES are split at blanks; there are no quotes.
#
# In your own makefile, which may define its own help, codes and clean:
#
#     VAE_QUALITY = 40
#     include /usr/local/share/vae-tools/batch.mk
#     all: $(patsubst %.png,%.lat,$(wildcard *.png))
VAE_QUALITY ?= 55
VAE_MODEL ?=

vae-quote = '$(subst ','\'',$(1))'
vae-goal := $(.DEFAULT_GOAL)
vae-self := $(lastword $(MAKEFILE_LIST))
vae-alone := $(filter $(words $(MAKEFILE_LIST)),1)
vae-batch-sh := $(wildcard $(dir $(vae-self))batch.sh)
ifeq ($(vae-batch-sh),)
# The words of MAKEFILE_LIST are not its files where a folder has a blank in its name. The only
# makefile can be told.
vae-self := $(shell printf '%s\n' $(call vae-quote,$(MAKEFILE_LIST)) | sed 's/^ *//')
vae-alone := 1
vae-batch-sh := $(shell f=$(call vae-quote,$(vae-self)); f="$${f%/*}/batch.sh"; \
	[ ! -f "$$f" ] || printf %s "$$f")
$(if $(vae-batch-sh),,$(error batch.mk: no batch.sh beside it, or a blank in the name of its folder))
endif

define vae-newline


endef
# Letters of options that make was given: B s n.
vae-letters = $(filter-out --%,$(firstword -$(MAKEFLAGS)))
vae-set = $(1)=$(call vae-quote,$($(1)))
vae-batch = $(foreach v,QUALITY MODEL FLAGS ENCFLAGS QUANTFLAGS DECFLAGS PICTURES BINDIR, \
	$(call vae-set,VAE_$(v))) \
	VAE_AGAIN=$(findstring B,$(vae-letters)) VAE_QUIET=$(findstring s,$(vae-letters)) \
	VAE_MAKE=$(call vae-quote,$(MAKE)) sh $(call vae-quote,$(vae-batch-sh))
# A newline in a name would end the line of the recipe, and what follows would be a command.
vae-one-line = $(if $(findstring $(vae-newline),$@), \
	@echo 'batch.mk: a name has more than one line: rename it' >&2; false,$(1))
vae-recursive = $(if $(findstring n,$(vae-letters)),,+)

# Whether a file is up to date depends on more than times: batch.sh looks, each time.
%.lat: vae-always
	$(call vae-one-line,@$(vae-batch) codes $(call vae-quote,$@))
%.dec.png: %.lat vae-always
	$(call vae-one-line,@$(vae-batch) decoded $(call vae-quote,$@))
%.dec.ppm: %.lat vae-always
	$(call vae-one-line,@$(vae-batch) decoded $(call vae-quote,$@))
summary:
	$(vae-recursive)@$(vae-batch) run summary
vae-always:
.PHONY: summary vae-always

ifneq ($(vae-alone),)
help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' $(call vae-quote,$(vae-self))
codes:
	$(vae-recursive)@$(vae-batch) run codes
clean:
	@$(vae-batch) clean
.PHONY: help codes clean
.DEFAULT_GOAL := help
else
.DEFAULT_GOAL := $(vae-goal)
endif

%.lat %.dec.png %.dec.ppm summary help codes clean: private SHELL = /bin/sh
%.lat %.dec.png %.dec.ppm summary help codes clean: private .SHELLFLAGS = -c
.PRECIOUS: %.lat
