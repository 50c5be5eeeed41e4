#!/bin/sh
# Writes the reader and the runtime as one .c and one .h, to copy into the sources of a program for a board:
# one_file.sh FOLDER SOURCE.c... writes FOLDER/cmodel_run.c and FOLDER/cmodel_run.h.
# All but the functions of the header are static there, so that no other name is taken.
set -eu
folder=$1
shift
mkdir -p "$folder"
licence() {
    if [ -f ../../../LICENSE ]; then
        awk 'BEGIN { print "/*" } { print ($0 == "" ? " *" : " * " $0) } END { print " */" }' ../../../LICENSE
    fi
}
{
    licence
    awk '!/^#include "/' cmodel_reader.h cmodel_run.h
} >"$folder/cmodel_run.h.new"
{
    licence
    echo '#include "cmodel_run.h"'
    # What the files share is declared here: functions, at the start of a line, and a table, which comes
    # before its user anyway.
    awk '/^#include "/ || /^extern const/ { next }
         /^[a-z].*[(]/ && !/^(static|typedef)/ { $0 = "static " $0 }
         { print }' internal.h run_internal.h
    awk '/^#include "/ { next } /^const uint8_t preset_dictionary/ { $0 = "static " $0 } { print }' "$@"
} >"$folder/cmodel_run.c.new"
mv "$folder/cmodel_run.h.new" "$folder/cmodel_run.h"
mv "$folder/cmodel_run.c.new" "$folder/cmodel_run.c"
