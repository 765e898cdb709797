#!/bin/sh
# mnist.sh - an idx file of MNIST (train-images-idx3-ubyte.gz) as a stream of PGM images on stdout,
# for vae-train and vae-stat.
#
#   models/mnist.sh train-images-idx3-ubyte.gz | vae-train --arch mlp ...
set -eu
gzip -dc -- "${1:?usage: mnist.sh IMAGES-idx3-ubyte.gz}" | perl -e '
	binmode STDIN; binmode STDOUT;
	read(STDIN, $head, 16) == 16 or die "mnist.sh: truncated\n";
	($magic, $count, $height, $width) = unpack "N4", $head;
	$magic == 0x803 or die "mnist.sh: not an idx file of images\n";
	while ($count-- > 0) {
		read(STDIN, $pixels, $height * $width) == $height * $width or die "mnist.sh: truncated\n";
		print "P5\n$width $height\n255\n$pixels";
	}'
