package figures

// The engines, as ARCHPRUNE_TEST_ENGINE names them.
const (
	Host             = "host"
	TrixieClassic    = "trixie-classic"
	TrixieContainerd = "trixie-containerd"
)

// What images a job works on.
const (
	TenTags   = "ten tags"
	BuildHost = "build host, 30 tags"
	Many      = "many small images"
	Large     = "one image of 8 GB"
)

// The jobs.
const (
	FirstSave  = "first save"
	OneNewTag  = "next save, one new tag"
	NothingNew = "next save, nothing new"
	Sibling    = "restore, sibling present"
	Cold       = "restore, engine empty"
	Export     = "export one tag"
	Verify     = "verify"
	Plan       = "plan"
	ManyTags   = "save many small tags"
	Beside     = "save one new tag beside many"
	Import     = "import many images"
	List       = "list"
	AllOnce    = "each job once"
)

// Ways that bounds compare archprune with.
const (
	SaveEach  = "`docker save | zstd -T0`, each tag"
	SaveOne   = "`docker save | zstd -T0`"
	SavePlain = "`docker save`, each tag"
	Load      = "`zstd -dc | docker load`"
	Copy      = "`cp`"
	CopySync  = "`cp` and `sync`"
	ByHand    = "`sha256sum` and `zstd -dc | sha256sum`, two at a time"
)

var (
	engines = []string{Host, TrixieClassic, TrixieContainerd}
	images  = []string{TenTags, BuildHost, Many, Large}
	jobs    = []string{FirstSave, OneNewTag, NothingNew, Sibling, Cold, Export, Verify, Plan, ManyTags, Beside, Import, List, AllOnce}
)
