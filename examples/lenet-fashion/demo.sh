#!/bin/sh
# Packs this example, verifies the file, and runs it on the 10,000 test images.
#   sh demo.sh [PYTHON]
set -eu
python=${1:-python3}
here=$(dirname "$0")
out=.demo
mkdir -p "$out"
rm -f "$out/lenet-fashion.cmodel"

echo "-- pack: 40 times fewer bytes, spent where 5000 training images show that they count"
"$python" -m cmodel pack "$here/deploy.prototxt" "$here/lenet_fashion.caffemodel" \
    -o "$out/lenet-fashion.cmodel" --ratio 40 --no-cache \
    --scale 0.00390625 --class-names "$here/labels.txt" \
    --data "$here/train5000-images-idx3-ubyte.gz"
echo
echo "-- verify: every checksum, every tensor"
"$python" -m cmodel verify "$out/lenet-fashion.cmodel"
echo "-- eval: the original, and the packed file alone (it knows how its input is prepared)"
"$python" -m cmodel eval "$here/deploy.prototxt" --weights "$here/lenet_fashion.caffemodel" \
    --scale 0.00390625 --data "$here/t10k-images-idx3-ubyte.gz"
"$python" -m cmodel eval "$out/lenet-fashion.cmodel" --data "$here/t10k-images-idx3-ubyte.gz"
ls -l "$here/lenet_fashion.caffemodel" "$out/lenet-fashion.cmodel"
