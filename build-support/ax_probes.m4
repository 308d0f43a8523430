# AX_PROBES([LAB])
#
# Make probes.h of this host in the build folder.  LAB is a file relative to the source folder,
# lab.pyz by default: `probes pack -o lab.pyz` makes it.  PROBES is the command to run instead.
# When cross-compiling, PROBES_HEADER is a header that was made on the target.
AC_DEFUN([AX_PROBES], [
AC_ARG_VAR([PROBES], [command that runs the probes, such as "python3 lab.pyz"])
AC_ARG_VAR([PROBES_HEADER], [probes.h of the target, made there])
AC_MSG_CHECKING([how system calls behave here])
AS_IF([test "x$PROBES_HEADER" != x],
  [cp "$PROBES_HEADER" probes.h || AC_MSG_ERROR([$PROBES_HEADER: cannot be copied])],
  [test "x$cross_compiling" = xyes],
  [AC_MSG_ERROR([this host is not the target; set PROBES_HEADER to a probes.h made there])],
  [test "x$PROBES" != x],
  [$PROBES report --format header -o probes.h ||
    AC_MSG_ERROR([$PROBES could not measure this host])],
  [python3 "$srcdir/m4_default([$1], [lab.pyz])" report --format header -o probes.h ||
    AC_MSG_ERROR([python3 m4_default([$1], [lab.pyz]) could not measure this host])])
AC_MSG_RESULT([probes.h])
])
