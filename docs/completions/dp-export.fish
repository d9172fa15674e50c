complete -c dp-export -l schema -d 'Export this schema, logged on by --connect. May be repeated [default: standard input, else ORACLE_USERS]' -r
complete -c dp-export -l oracle-users -d 'The schemas as the original had them: a JSON list of objects with user, password and schema' -r
complete -c dp-export -l connect -d 'How --schema logs on: "/ as sysdba" or "/@alias"; one with a password only by the environment [default: / as sysdba]' -r
complete -c dp-export -l directory -d 'Directory object in the database that the dumps are written to' -r
complete -c dp-export -l service -d 'Net service name or host:port/service of the database [default: the instance named by ORACLE_SID]' -r
complete -c dp-export -l dir -d 'Where the dumps appear on this host [default: the path of the directory object]' -r -F
complete -c dp-export -l name -d 'Name of the dump: {schema}, {weekday}, {date} (YYYY-MM-DD), {time} (HHMMSS), {db}, {run}; the log has .LOG' -r
complete -c dp-export -l weekday-language -d 'Language of {weekday}: segunda-feira or monday' -r -f -a "pt\t''
en\t''"
complete -c dp-export -l timeout -d 'Stop the job of a schema after this time, in the server too; a schema\'s own "timeout" comes first' -r
complete -c dp-export -l min-bytes -d 'A smaller dump is a failure: bytes with suffix k, m or g' -r
complete -c dp-export -l consistent -d 'All tables as of one SCN (FLASHBACK_SCN); "no": each table as of its own moment' -r -f -a "yes\t''
no\t''"
complete -c dp-export -l jobs -d 'Export so many schemas at once' -r
complete -c dp-export -l parameter -d 'Another parameter of expdp, such as EXCLUDE=STATISTICS or FILESIZE=4G. May be repeated' -r
complete -c dp-export -l sql-timeout -d 'Limit for one session of sqlplus and for stopping a job' -r
complete -c dp-export -l env-file -d 'Read settings from FILE: lines NAME=value, as in a .env file. The environment wins over the file' -r -F
complete -c dp-export -l state-dir -d 'Keep state and locks in DIR [default: ~/.local/state/orapipe]' -r -F
complete -c dp-export -l log-dir -d 'Write log files to DIR [default: the state directory]' -r -F
complete -c dp-export -l lock-timeout -d 'End a run of our own that holds the lock and has made no progress for so long' -r
complete -c dp-export -l explain -d 'Print meaning, cause and cure of an exit status or an error code (ORA-01123, rsync 23), then stop' -r
complete -c dp-export -s n -l dry-run -d 'Print the plan as `planned` records and change nothing anywhere'
complete -c dp-export -l json -d 'Write JSON Lines to standard output even when it is a terminal'
complete -c dp-export -s v -l verbose -d 'Show the steps on standard error'
complete -c dp-export -l show-config -d 'Print every effective setting and where it came from, then stop'
complete -c dp-export -l allow-root -d 'Run although this is root'
complete -c dp-export -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dp-export -s V -l version -d 'Print version'
