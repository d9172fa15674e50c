complete -c mailreport -l to -d 'Send the mail to ADDRESS. May be repeated, or a list with commas' -r
complete -c mailreport -l from -d 'Sender [default: user@host]' -r
complete -c mailreport -l subject-prefix -d 'Put TEXT before the verdict in the subject' -r
complete -c mailreport -l language -d 'Language of the mail, its dates and numbers [default: pt when LC_ALL, LC_MESSAGES or LANG begins with pt, else en]' -r -f -a "pt\t''
en\t''"
complete -c mailreport -l only -d 'Send the mail always, only when the verdict is not "success", or only when it differs from the last one of --history' -r -f -a "failure\t''
change\t''
always\t''"
complete -c mailreport -l expect -d 'Tools that must have reported: a pipeline without one of them is a critical failure. TOOL:DB and TOOL:DB@HOST expect it from one database, where the records are of many' -r
complete -c mailreport -l history -d 'Keep one line per run in FILE, for the charts, the last good backups and --only change' -r -F
complete -c mailreport -l smtp-server -d 'Mail server' -r
complete -c mailreport -l smtp-port -d 'Port of the mail server' -r
complete -c mailreport -l smtp-tls -d 'How the connection is encrypted: by STARTTLS, which the server must offer, by TLS from the first byte, or not [default: implicit on port 465, none on port 25, else starttls]' -r -f -a "starttls\t''
implicit\t''
none\t''"
complete -c mailreport -l smtp-ca-file -d 'Trust the certificates in FILE (PEM) and no others [default: those of the system]' -r -F
complete -c mailreport -l smtp-username -d 'Log on as USER. The password comes from SMTP_PASSWORD or --smtp-password-file' -r
complete -c mailreport -l smtp-password -d 'The password; from the environment or the env file only, refused on the command line' -r
complete -c mailreport -l smtp-password-file -d 'Read the password from the first line of FILE, which only its owner may read' -r -F
complete -c mailreport -l smtp-timeout -d 'Longest time for one step of the dialogue with the server; five times as long for its answer to the whole mail' -r
complete -c mailreport -l sendmail -d 'Hand the mail to a local program, called with -t -i, instead of a server [default program: /usr/sbin/sendmail]' -r -F
complete -c mailreport -l spool -d 'Keep mails that could not be sent in DIR [default: spool in the state directory]' -r -F
complete -c mailreport -l output -d 'Write the mail to FILE (.eml) as well; without SMTP_SERVER and --sendmail that is all' -r -F
complete -c mailreport -l html -d 'Write the HTML part to FILE' -r -F
complete -c mailreport -l prometheus -d 'Write metrics to FILE for the textfile collector of the node exporter; its name must end in .prom. One file per pipeline: of orapipe_NAME.prom every metric gets the label pipeline="NAME"' -r -F
complete -c mailreport -l ping -d 'Request URL after a success and URL/fail after anything else, as healthchecks.io wants it' -r
complete -c mailreport -l env-file -d 'Read settings from FILE: lines NAME=value, as in a .env file. The environment wins over the file' -r -F
complete -c mailreport -l state-dir -d 'Keep state and locks in DIR [default: ~/.local/state/orapipe]' -r -F
complete -c mailreport -l log-dir -d 'Write log files to DIR [default: the state directory]' -r -F
complete -c mailreport -l lock-timeout -d 'End a run of our own that holds the lock and has made no progress for so long' -r
complete -c mailreport -l explain -d 'Print meaning, cause and cure of an exit status or an error code (ORA-01123, rsync 23), then stop' -r
complete -c mailreport -l flush -d 'Only send what is in the spool; reads no records'
complete -c mailreport -l test -d 'Send a mail that says it is a test; reads no records'
complete -c mailreport -l nagios -d 'Print one status line with performance data instead of records, and exit with 0 to 3 as Nagios wants it'
complete -c mailreport -s n -l dry-run -d 'Print the plan as `planned` records and change nothing anywhere'
complete -c mailreport -l json -d 'Write JSON Lines to standard output even when it is a terminal'
complete -c mailreport -s v -l verbose -d 'Show the steps on standard error'
complete -c mailreport -l show-config -d 'Print every effective setting and where it came from, then stop'
complete -c mailreport -l allow-root -d 'Run although this is root'
complete -c mailreport -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mailreport -s V -l version -d 'Print version'
