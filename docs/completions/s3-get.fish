complete -c s3-get -l bucket -d 'Bucket' -r
complete -c s3-get -l prefix -d 'What our keys begin with; a slash is added at its end when there is none' -r
complete -c s3-get -l region -d 'Region of the bucket [default: as the AWS profile says]' -r
complete -c s3-get -l endpoint-url -d 'Address of an S3 server that is not Amazon\'s, as in https://s3.example.com:9000. Keys then follow the bucket in the path' -r
complete -c s3-get -l retry-for -d 'Try one request again for so long: on connect errors, resets, time-outs, 500, 502, 503 and SlowDown' -r
complete -c s3-get -l stall-timeout -d 'Take a transfer of which not a byte has moved for so long as dead' -r
complete -c s3-get -l since -d 'Only manifests stored since then: a duration as 35days, a date as 2026-11-01, or RFC 3339' -r
complete -c s3-get -l dest -d 'Put the files into DIR, each under the last part of its key' -r -F
complete -c s3-get -l range-size -d 'Size of a range' -r
complete -c s3-get -l concurrency -d 'Fetch so many ranges at once. Memory is about (N + 2) times the size of a range' -r
complete -c s3-get -l bwlimit -d 'Use at most this rate for all transfers together: bytes per second with suffix k, m or g' -r
complete -c s3-get -l env-file -d 'Read settings from FILE: lines NAME=value, as in a .env file. The environment wins over the file' -r -F
complete -c s3-get -l state-dir -d 'Keep state and locks in DIR [default: ~/.local/state/orapipe]' -r -F
complete -c s3-get -l log-dir -d 'Write log files to DIR [default: the state directory]' -r -F
complete -c s3-get -l lock-timeout -d 'End a run of our own that holds the lock and has made no progress for so long' -r
complete -c s3-get -l explain -d 'Print meaning, cause and cure of an exit status or an error code (ORA-01123, rsync 23), then stop' -r
complete -c s3-get -l manifests -d 'Print the records of the manifests below <prefix>manifests/, oldest first'
complete -c s3-get -l verify -d 'Read the objects and compare their hashes, keep nothing'
complete -c s3-get -s n -l dry-run -d 'Print the plan as `planned` records and change nothing anywhere'
complete -c s3-get -l json -d 'Write JSON Lines to standard output even when it is a terminal'
complete -c s3-get -s v -l verbose -d 'Show the steps on standard error'
complete -c s3-get -l show-config -d 'Print every effective setting and where it came from, then stop'
complete -c s3-get -l allow-root -d 'Run although this is root'
complete -c s3-get -s h -l help -d 'Print help (see more with \'--help\')'
complete -c s3-get -s V -l version -d 'Print version'
