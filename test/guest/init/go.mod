module init

go 1.26.0
