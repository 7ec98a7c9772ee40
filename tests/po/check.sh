#!/bin/sh
# Translations are whole: check.sh PO_DIR
#   every file with strings for people is in POTFILES, xgettext reads them all without a warning, and every language of
#   LINGUAS has each string of the code as it is now, none fuzzy, with its placeholders and mnemonics.
# To mend: add the file to po/POTFILES, `meson compile -C build tessera-update-po`, translate what is new in po/*.po.
set -u
po=$(cd "$1" && pwd)
cd "$po/.." || exit 1
for tool in xgettext msgmerge msgattrib msgfmt; do
  command -v "$tool" >/dev/null || { echo "1..0 # SKIP not installed: $tool (gettext)"; exit 0; }
done
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
LC_ALL=C.UTF-8
export LC_ALL
n=0

# report NAME: passed where the file `problems` is empty; what it holds is told.
report () {
  n=$((n + 1))
  if [ -s "$tmp/problems" ]; then
    sed 's/^/# /' "$tmp/problems"
    echo "not ok $n - $1"
  else
    echo "ok $n - $1"
  fi
}

# The macros are written before a space or a parenthesis; N_ELEMENTS and the like are no macro of gettext.
{
  grep -rlE --include='*.c' --include='*.h' '(^|[^A-Za-z0-9_])(_|N_|C_|NC_|Q_|ngettext|g_dngettext|g_dpgettext2?) ?\(' src
  grep -rlE --include='*.ui' --include='*.xml' 'translatable="(yes|true)"' ui data src
  ls data/*.desktop.in data/*.metainfo.xml.in data/*.gschema.xml
} | LC_ALL=C sort -u >"$tmp/files"
diff -U0 "$po/POTFILES" "$tmp/files" | grep '^[-+][^-+]' >"$tmp/problems"
report "POTFILES lists the files with strings, in alphabetical order"

# As Meson's preset "glib" calls it.
set -- --from-code=UTF-8 --package-name=tessera --add-comments --no-location
for keyword in _ N_ C_:1c,2 NC_:1c,2 g_dcgettext:2 g_dngettext:2,3 g_dpgettext2:2c,3; do
  set -- "$@" "--keyword=$keyword"
done
for flag in N_:1:pass-c-format C_:2:pass-c-format NC_:2:pass-c-format g_dngettext:2:pass-c-format \
  g_strdup_printf:1:c-format g_string_printf:2:c-format g_string_append_printf:2:c-format g_error_new:3:c-format \
  g_set_error:4:c-format g_markup_printf_escaped:1:c-format g_log:3:c-format g_print:1:c-format g_printerr:1:c-format \
  g_printf:1:c-format g_fprintf:2:c-format g_sprintf:2:c-format g_snprintf:3:c-format; do
  set -- "$@" "--flag=$flag"
done
xgettext "$@" --files-from="$tmp/files" -o "$tmp/all.pot" >"$tmp/problems" 2>&1
[ -s "$tmp/all.pot" ] || echo "xgettext wrote nothing" >>"$tmp/problems"
report "xgettext reads every string"

# A format macro it does not know ends the string for it: "%" G_GINT64_FORMAT is left as "%". <inttypes.h> has what it knows.
grep -nE '^msgid ".*%( |l|ll|z)?"$' "$tmp/all.pot" | grep -v '%%"' >"$tmp/problems"
report "no string is cut at a format macro"

# strings OPTION FILE: the strings a filter of msgattrib leaves, one a line
strings () {
  msgattrib "$1" --no-obsolete --no-wrap "$2" |
    awk '/^msgid "/ { on = 1; text = ""; sub (/^msgid /, "") }
         /^msg(id_plural|str)/ { if (on && text != "") print "  " text; on = 0 }
         on { text = text substr ($0, 2, length ($0) - 2) }'
}
for language in $(cat "$po/LINGUAS"); do
  msgfmt --check --check-accelerators=_ -o /dev/null "$po/$language.po" >"$tmp/problems" 2>&1
  report "$language: msgfmt finds nothing wrong"
  msgmerge --quiet --no-fuzzy-matching --no-location -o "$tmp/$language.po" "$po/$language.po" "$tmp/all.pot" \
    >"$tmp/problems" 2>&1
  strings --untranslated "$tmp/$language.po" >>"$tmp/problems"
  report "$language: no string of the code is untranslated"
  strings --only-fuzzy "$tmp/$language.po" >"$tmp/problems"
  report "$language: no string is fuzzy"
done
echo "1..$n"
