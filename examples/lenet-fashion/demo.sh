#!/bin/sh
# Packs this example, verifies the file, and runs it on the 10,000 test images.
#   sh demo.sh [PYTHON]
set -eu
python=${1:-python3}
here=$(dirname "$0")
out=.demo
mkdir -p "$out"
rm -f "$out/lenet-fashion.cmodel"

echo "-- pack: prune, share weights, Huffman; accuracy before and after on the test images"
"$python" -m cmodel pack "$here/deploy.prototxt" "$here/lenet_fashion.caffemodel" \
    -o "$out/lenet-fashion.cmodel" --preset deep-compression \
    --scale 0.00390625 --class-names "$here/labels.txt" \
    --data "$here/t10k-images-idx3-ubyte.gz"
echo
echo "-- verify: every checksum, every tensor"
"$python" -m cmodel verify "$out/lenet-fashion.cmodel"
echo "-- eval: the packed file alone (it knows how its input is prepared)"
"$python" -m cmodel eval "$out/lenet-fashion.cmodel" --data "$here/t10k-images-idx3-ubyte.gz"
ls -l "$here/lenet_fashion.caffemodel" "$out/lenet-fashion.cmodel"
