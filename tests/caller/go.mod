module towpath/caller

go 1.24
