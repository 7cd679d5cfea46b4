-- A time written out in the session's own zone and style is not always understood again: Guam's "ChST" is an error outside of the ISO style.
alter function millrace_make_partition(regclass, date) set timezone = 'UTC';
alter function millrace_make_partition(regclass, date) set datestyle = 'ISO, YMD';
