"""What of /proc is covered in a sandbox. Data only, for zygotes of every Python from 2.7 on and for the server alike.

Most of these can be read or written by root alone, whom nobody inside can become; they are covered in case a kernel forgets to
check. The others tell what is no function's business: how the machine was started (secrets may be among it), its devices, its
users' keys, and what its processors do at each moment.
"""

FILES = [
    "/proc/" + name
    for name in "cmdline config.gz diskstats interrupts iomem ioports kallsyms kcore key-users keys kmsg latency_stats modules mtrr"
    " pagetypeinfo partitions sched_debug schedstat slabinfo softirqs swaps sysrq-trigger timer_list timer_stats vmallocinfo".split()
]
FOLDERS = ["/proc/" + name for name in "acpi asound bus driver fs irq scsi tty".split()]
