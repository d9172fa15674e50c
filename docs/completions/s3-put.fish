complete -c s3-put -l bucket -d 'Bucket' -r
complete -c s3-put -l prefix -d 'What our keys begin with; a slash is added at its end when there is none' -r
complete -c s3-put -l region -d 'Region of the bucket [default: as the AWS profile says]' -r
complete -c s3-put -l endpoint-url -d 'Address of an S3 server that is not Amazon\'s, as in https://s3.example.com:9000. Keys then follow the bucket in the path' -r
complete -c s3-put -l retry-for -d 'Try one request again for so long: on connect errors, resets, time-outs, 500, 502, 503 and SlowDown' -r
complete -c s3-put -l stall-timeout -d 'Take a transfer of which not a byte has moved for so long as dead' -r
complete -c s3-put -l key -d 'Key of an object: {prefix}, {yyyy}, {mm}, {dd} (day of the file\'s last change, local time), {name}, {role}, {tag}, {db}, {run}, {host}' -r
complete -c s3-put -l role -d 'Upload only files of this role, as backup_piece or archived_log. May be repeated [default: all]' -r
complete -c s3-put -l part-size -d 'Size of a part, at least 5m; larger by itself where a file would have more than 10,000 parts' -r
complete -c s3-put -l concurrency -d 'Send so many parts or small files at once. Memory is about (N + 2) times the size of a part' -r
complete -c s3-put -l storage-class -d 'Storage class, as STANDARD_IA or GLACIER_IR' -r
complete -c s3-put -l sse -d 'Encryption at the server: AES256, aws:kms or aws:kms:dsse' -r
complete -c s3-put -l kms-key-id -d 'Key of the encryption; implies --sse aws:kms' -r
complete -c s3-put -l object-lock-until -d 'Lock the objects until then: RFC 3339, or a duration from now on as 30days' -r
complete -c s3-put -l object-lock-mode -d 'Who may shorten the lock: those with a special right, or nobody' -r -f -a "governance\t''
compliance\t''"
complete -c s3-put -l bwlimit -d 'Use at most this rate for all transfers together: bytes per second with suffix k, m or g' -r
complete -c s3-put -l log-prefix -d 'Upload the run\'s logs (records of role log, and our own) below PREFIX, and keep of the local ones the latest of FULL, today\'s of INCREMENTAL and the current one' -r
complete -c s3-put -l older-than -d 'Age from which --cleanup takes an upload as given up' -r
complete -c s3-put -l env-file -d 'Read settings from FILE: lines NAME=value, as in a .env file. The environment wins over the file' -r -F
complete -c s3-put -l state-dir -d 'Keep state and locks in DIR [default: ~/.local/state/orapipe]' -r -F
complete -c s3-put -l log-dir -d 'Write log files to DIR [default: the state directory]' -r -F
complete -c s3-put -l lock-timeout -d 'End a run of our own that holds the lock and has made no progress for so long' -r
complete -c s3-put -l explain -d 'Print meaning, cause and cure of an exit status or an error code (ORA-01123, rsync 23), then stop' -r
complete -c s3-put -l delete-source -d 'Delete the local files after all uploads of the run are verified, the manifest is stored, and every producer has ended with success'
complete -c s3-put -l manifest -d 'Store all records of the run as <prefix>manifests/YYYY/MM/DD/<run>.jsonl; this is the default'
complete -c s3-put -l no-manifest -d 'Store no manifest'
complete -c s3-put -l cleanup -d 'Abort unfinished uploads below the prefix that are older than --older-than, and forget them; upload nothing'
complete -c s3-put -s n -l dry-run -d 'Print the plan as `planned` records and change nothing anywhere'
complete -c s3-put -l json -d 'Write JSON Lines to standard output even when it is a terminal'
complete -c s3-put -s v -l verbose -d 'Show the steps on standard error'
complete -c s3-put -l show-config -d 'Print every effective setting and where it came from, then stop'
complete -c s3-put -l allow-root -d 'Run although this is root'
complete -c s3-put -s h -l help -d 'Print help (see more with \'--help\')'
complete -c s3-put -s V -l version -d 'Print version'
